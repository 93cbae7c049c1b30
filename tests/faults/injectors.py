"""What goes wrong. Each takes the scene at the moment chosen; what lasts is undone by `scene.heal`."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from agent.model.layout import HERE
from sandbox import relay, server, stacks, store, synapse
from sandbox.engine import Stack
from sandbox.server import matrix

from ..e2e.world import BACKUP, STORE, on_disk, server_processes
from .scene import EVERYTHING, KEY, KEY_ID, NEW_KEY_ID, Scene, wait_for

Injector = Callable[[Scene], None]
UNITS = Path("/etc/systemd/system")


def kill_processes(pattern: str, how: int = signal.SIGKILL) -> None:
    """Those of the server whose command line matches."""
    for number in server_processes(pattern):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, how)


def agent_killed(scene: Scene) -> None:
    """The agent in whatever verb it is, and its rclone; not the units it keeps running."""
    kill_processes(r"agent\.pyz (work|mount|unmount|converge)|install --sha256| uninstall |rclone\S* copy")


def agent_hangs(scene: Scene) -> None:
    """It stands still itself, for good, while services do; where those go on already, it goes on too."""
    kill_processes(r"agent\.pyz work", signal.SIGSTOP)
    if not server.inside(HERE.held).exists():
        kill_processes(r"agent\.pyz work", signal.SIGCONT)
        raise AssertionError("the hold was over before the agent could be stopped")


def pulumi_killed(scene: Scene) -> None:
    scene.kill_engine()


def connection_cut(scene: Scene) -> None:
    """The server's ends of all SSH connections vanish."""
    kill_processes(r"^sshd: ")


def sshd_restarted(scene: Scene) -> None:
    server.ssh("systemctl restart ssh")


def power_lost(scene: Scene) -> None:
    """Everything on the server ends at once; pulumi hangs over a dead connection and is ended by hand."""
    server.kill()
    if scene.engine:
        scene.kill_engine()
    server.up(wait=False)


def rebooted(scene: Scene) -> None:
    server.down()
    if scene.engine:
        scene.kill_engine()
    server.up(wait=False)


def store_in(mode: relay.Mode, seconds: float = 0, meanwhile: Injector = lambda scene: None) -> Injector:
    """The store is in trouble for so long once `meanwhile` was done, or until it is healed."""

    def inject(scene: Scene) -> None:
        scene.relay.turn(mode)
        meanwhile(scene)
        if seconds:
            time.sleep(seconds)  # the fault itself lasts
            scene.relay.turn(relay.Mode.WELL)
        else:
            scene.healing.append(lambda: scene.relay.turn(relay.Mode.WELL))

    return inject


def booted_without_store(scene: Scene) -> None:
    """A boot while the store takes no connection, for five minutes: the homeserver waits, and nothing is written."""
    scene.relay.turn(relay.Mode.REFUSING)
    power_lost(scene)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert not scene.services_run(), "the homeserver runs over a media store that is not there"
        assert list(on_disk(STORE).iterdir()) == [], "something was written beneath the mount"
        time.sleep(1)  # the fault itself lasts
    scene.relay.turn(relay.Mode.WELL)


def key_revoked(scene: Scene) -> None:
    store.set_user(KEY_ID, KEY, [])
    scene.healing.append(lambda: store.set_user(KEY_ID, KEY, EVERYTHING))


def new_store_refuses(scene: Scene) -> None:
    """The store that the media move to refuses the key, until it is healed."""
    store.set_user(NEW_KEY_ID, KEY, [])
    scene.healing.append(lambda: store.set_user(NEW_KEY_ID, KEY, EVERYTHING))


def disk_full(folder: Path) -> Injector:
    """The file system at `folder`, one of its own, has no byte left."""

    def inject(scene: Scene) -> None:
        filler = on_disk(folder) / "filler"
        with open(filler, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
        scene.healing.append(lambda: filler.unlink(missing_ok=True))

    return inject


def mount_killed(scene: Scene) -> None:
    kill_processes(r"matrix-media-store/goofys.*mounting$")


def mount_hangs(scene: Scene) -> None:
    kill_processes(r"matrix-media-store/goofys.*mounting$", signal.SIGSTOP)


def docker_killed(scene: Scene) -> None:
    """What units of containers ask to stop them; it is started again, and ends what ran without it."""
    kill_processes(r"(^|/)dockerd ")


def unit_stopped(scene: Scene) -> None:
    """By hand, and what requires it stops too; whoever ends the window starts it again."""
    server.ssh("systemctl stop --no-block matrix-synapse.service")


def worker_restarted(scene: Scene) -> None:
    """The one that comes up meanwhile waits at its guard."""
    server.ssh("systemctl restart --no-block 'matrix-synapse-worker-*.service'")


def container_sees_nothing(scene: Scene) -> None:
    """Somebody's container can write to the store, and gets no mount that comes later."""
    sees = "type=bind,src=/matrix/synapse/storage,dst=/elsewhere,bind-propagation=private"
    image = matrix.IMAGE.format(matrix.VERSIONS[0])
    server.ssh(f"docker run --detach --name elsewhere --mount {sees} --entrypoint sleep {image} 3600")
    scene.healing.append(lambda: server.ssh("docker rm --force elsewhere", check=False))


def docker_restarted(scene: Scene) -> None:
    server.ssh("systemctl restart docker")


def container_killed(name: str) -> Injector:
    """It ends, and its unit makes another."""

    def inject(scene: Scene) -> None:
        server.ssh(f"docker kill {name}", check=False)  # in a window there may be none

    return inject


def _drop_in(scene: Scene, text: str) -> None:
    path = on_disk(UNITS / "matrix-synapse.service.d/fault.conf")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[Service]\n{text}")
    server.ssh("systemctl daemon-reload")

    def undo() -> None:
        path.unlink()
        server.ssh("systemctl daemon-reload")

    scene.healing.append(undo)


def homeserver_does_not_stop(scene: Scene) -> None:
    """Its unit asks no container to stop either."""
    _drop_in(scene, "ExecStop=\nKillSignal=SIGCONT\nTimeoutStopSec=infinity\n")


def homeserver_does_not_start_on(kind: str) -> Injector:
    """It refuses to start over the bucket, or over the local store."""

    def inject(scene: Scene) -> None:
        wanted = "!" if kind == "bucket" else ""
        _drop_in(scene, f"ExecStartPre=/bin/sh -c '{wanted} mountpoint -q {STORE}'\n")

    return inject


def file_purged(scene: Scene) -> None:
    scene.migration.purge(scene.migration.media[3])


def file_half_written(scene: Scene) -> None:
    """A file grows while it is copied, at the same name."""
    name = "remote_content/example.org/ha/lf/written"
    path = on_disk(STORE) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half" * 100)
    server.own(on_disk(STORE) / "remote_content")

    def grow() -> None:
        with open(path, "ab") as file:
            file.write(b"rest" * 100)
        scene.migration.before[name] = synapse.tree(on_disk(STORE) / "remote_content")[name.partition("/")[2]]

    grow_after = functools.partial(wait_for, lambda: not server_processes(r"rclone\S* copy"), 30)
    grow_after()
    grow()


def thumbnail_rewritten(scene: Scene) -> None:
    """Other content of the same size, as when Synapse makes a thumbnail anew."""
    name = next(path for path in sorted(scene.migration.before) if path.startswith("local_thumbnails/"))
    path = on_disk(STORE) / name
    path.write_bytes(os.urandom(path.stat().st_size))
    scene.migration.before[name] = synapse.tree(on_disk(STORE) / "local_thumbnails")[name.partition("/")[2]]


def folder_in_the_way(scene: Scene) -> None:
    """Somebody's folder has the local copy's name."""
    folder = on_disk(BACKUP)
    folder.mkdir()
    (folder / "own").write_text("somebody's")
    scene.healing.append(lambda: folder.rename(folder.with_name("moved-away")))


def second_up(scene: Scene) -> None:
    """The same stack once more, while the first still copies."""
    scene.relay.turn(relay.Mode.SLOW)
    result = scene.migration.stack.call("up", "--yes", "--skip-preview")
    scene.relay.turn(relay.Mode.WELL)
    assert result.status != 0 and "pulumi cancel" in result.output, result.output


def second_stack(scene: Scene) -> None:
    """Another stack with the same server and bucket, to another phase."""
    other: Stack = stacks.existing(f"{scene.migration.stack.name}-other", scene.migration.bucket, empty=False)
    try:
        result = other.call("up", "--yes", "--skip-preview")
        assert result.status != 0, result.output
        assert "holds this server" in result.output or "another run is changing" in result.output, result.output
    finally:
        other.remove()
