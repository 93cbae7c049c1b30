"""What goes wrong. Each takes the scene at the moment chosen; what lasts is undone by `scene.heal`."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sandbox import relay, server, stacks, store, synapse
from sandbox.engine import Stack

from ..e2e.world import BACKUP, STORE, on_disk, run_playbook, server_processes
from .scene import EVERYTHING, KEY, KEY_ID, MOMENTS, Scene, wait_for

Injector = Callable[[Scene], None]
UNITS = Path("/etc/systemd/system")


def _kill(pattern: str, how: int = signal.SIGKILL) -> None:
    for number in server_processes(pattern):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, how)


def agent_killed(scene: Scene) -> None:
    """The agent in whatever verb it is, and its rclone; not the units it keeps running."""
    _kill(r"agent\.pyz (work|mount|unmount|converge)|install --agent-version| uninstall |rclone copy")


def pulumi_killed(scene: Scene) -> None:
    scene.kill_engine()


def connection_cut(scene: Scene) -> None:
    """The server's ends of all SSH connections vanish."""
    _kill(r"^sshd: ")


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


def store_in(mode: relay.Mode, seconds: float = 0) -> Injector:
    """The store is in trouble for so long, or until it is healed."""

    def inject(scene: Scene) -> None:
        scene.relay.turn(mode)
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
    _kill(r"matrix-media-store/goofys.*storage/media-store$")


def mount_hangs(scene: Scene) -> None:
    _kill(r"matrix-media-store/goofys.*storage/media-store$", signal.SIGSTOP)


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
    _drop_in(scene, "KillSignal=SIGCONT\nTimeoutStopSec=infinity\n")


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

    grow_after = functools.partial(wait_for, lambda: not server_processes(r"rclone copy"), 30)
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
    other: Stack = stacks.existing("sandbox-faults-other", scene.migration.bucket, empty=False)
    try:
        result = other.call("up", "--yes", "--skip-preview")
        assert result.status != 0, result.output
        assert "holds this server" in result.output or "another run is changing" in result.output, result.output
    finally:
        other.remove()


def playbook_run(scene: Scene) -> None:
    """With a mount of the playbook's own name left from earlier, which it takes away."""
    unit = on_disk(UNITS / "matrix-goofys.service")
    unit.write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
    run_playbook()


def _agree_on_the_playbook(scene: Scene) -> dict[str, object]:
    stack = scene.migration.stack
    stack.set("mount.managedBy", "playbook")
    stack.must("up", "--yes", "--skip-preview")
    return scene.migration.playbook_lines()


def playbook_takes_over(scene: Scene) -> None:
    """Its own mount of the bucket comes in the place of ours, and is still there afterwards."""
    run_playbook(_agree_on_the_playbook(scene))


def playbook_takes_over_beneath(scene: Scene) -> None:
    """The homeserver runs on while the mounts change."""
    run_playbook(_agree_on_the_playbook(scene), services="start")


def _as_the_playbook_takes_over(scene: Scene, services: str, then: Callable[[], None]) -> None:
    """Once ours begins to give way; the playbook's run fails with what it started."""
    lines = _agree_on_the_playbook(scene)

    def play() -> None:
        with contextlib.suppress(RuntimeError):
            run_playbook(lines, services)

    thread = threading.Thread(target=play)
    thread.start()
    assert wait_for(lambda: server_processes(r"agent\.pyz give-way"), 60, every=0.002), "it never took over"
    then()
    thread.join()


def power_lost_as_the_playbook_takes_over(scene: Scene) -> None:
    """Ours is disabled, and the playbook's not mounted yet."""
    _as_the_playbook_takes_over(scene, "restart", lambda: power_lost(scene))


def killed_as_the_playbook_takes_over(scene: Scene) -> None:
    """What makes ours give way ends in the middle."""

    def kill() -> None:
        time.sleep(0.3)  # into its work
        _kill(r"agent\.pyz give-way")

    _as_the_playbook_takes_over(scene, "start", kill)


def playbook_told_wrongly(scene: Scene) -> None:
    """vars.yml with another secret key: ours serves on."""
    lines = _agree_on_the_playbook(scene)
    run_playbook({**lines, "matrix_s3_media_store_aws_secret_key": "another"})


def playbook_told_wrongly_later(scene: Scene) -> None:
    """After its mount took over."""
    lines = _agree_on_the_playbook(scene)
    run_playbook(lines)
    assert wait_for(scene.services_run, 60)
    run_playbook({**lines, "matrix_s3_media_store_custom_endpoint": "https://elsewhere.test"})


def playbooks_mount_starts_on_the_way_home(scene: Scene) -> None:
    """Its unit was laid and never started; now it is, over and over, while ours ends and the local store comes home."""
    run_playbook(_agree_on_the_playbook(scene), services="leave")
    home = threading.Event()

    def hammer() -> None:
        wait_for(MOMENTS["restore, stopping"], 90, every=0.002)
        while not home.is_set():
            with contextlib.suppress(RuntimeError):
                server.ssh("systemctl start --no-block matrix-goofys.service")

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()

    def stop() -> None:
        home.set()
        for thread in threads:
            thread.join()

    scene.healing.append(stop)


def _strike(scene: Scene, moment: str, then: Callable[[], None]) -> None:
    """Later, at that moment."""

    def strike() -> None:
        assert wait_for(MOMENTS[moment], 90, every=0.002), f"{moment} never came"
        with contextlib.suppress(RuntimeError):  # a run of the playbook fails where what it starts is ended under it
            then()

    thread = threading.Thread(target=strike)
    thread.start()
    scene.healing.append(thread.join)


def power_lost_on_the_way_home_from_the_playbook(scene: Scene) -> None:
    """The boot must not mount the bucket over what came home."""
    playbook_takes_over(scene)
    _strike(scene, "restore, swapping", lambda: power_lost(scene))


def playbook_run_on_the_way_home_from_it(scene: Scene) -> None:
    """With its lines still: it starts the homeserver and its mount while the local store comes home."""
    lines = _agree_on_the_playbook(scene)
    run_playbook(lines)
    _strike(scene, "restore, stopping", lambda: run_playbook(lines))


def ours_started_by_hand(scene: Scene) -> None:
    """While the playbook's mount serves."""
    playbook_takes_over(scene)
    assert wait_for(scene.services_run, 60)
    server.ssh("systemctl restart matrix-media-store.service")
