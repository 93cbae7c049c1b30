"""The server of the sandbox: how it is made, its boot, and commands on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .. import process
from ..world import BIN, HOST_KEY, LOGS, NAME, PLACE, RUN, SERVER, SERVER_ADDRESS, SSH_KEY, run
from . import containers, image, kinds, matrix, wheels
from .image import MATRIX_ID as MATRIX_ID
from .kinds import Kind
from .matrix import own as own

HERE = Path(__file__).parent
CHANGES, CHANGES_WORK = PLACE / "server-changes", PLACE / "server-changes.work"
#: /matrix is a disk's file system and no overlay, as on real servers: the kernel tells of less on an overlay.
MATRIX = PLACE / "server-matrix"
#: Docker's folder, which cannot be on an overlay either.
DOCKER = PLACE / "server-docker"
UNITS = Path("/etc/systemd/system")
PROCESS = "server"
#: Synapse's, or its reverse proxy's.
PORT = 8008
#: With which statuses it says that it is there, and the worker that serves media, to who shows no token.
ALIVE = {"/_matrix/client/versions": 200, "/_matrix/client/v1/media/config": 401}
BOOT_SECONDS, SYNAPSE_SECONDS = 120, 240
#: What root may do on a real server, and nspawn forbids.
SYSTEM_CALLS = "fanotify_init fanotify_mark open_by_handle_at"
#: And what Docker needs besides.
FOR_DOCKER = (
    "--capability=all", f"--system-call-filter=add_key keyctl bpf {SYSTEM_CALLS}",
)  # fmt: skip


def build(*wanted: Kind) -> None:
    """What these kinds of servers are made of, but for their containers; once."""
    for kind in wanted:
        if image.build(kind) and kinds.current() == kind:
            discard()  # its server was made of another
    image.build_libraries()


def load_containers(kind: Kind) -> None:
    """What the kind's Docker makes of the containers' image; once. The network is up."""
    if not kind.in_containers or containers.is_built(kind):
        return
    discard()
    kinds.note(kind)
    _lay_changes()
    up()
    containers.load(kind, _ssh_words())
    containers.keep(kind, DOCKER)
    discard()


def make_ssh_keys() -> None:
    SSH_KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key in (SSH_KEY, HOST_KEY):
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sandbox", "-f", key)


def on_disk(path: Path) -> Path:
    """A path of the server on its disk, as seen from this machine."""
    return SERVER / path.relative_to("/")


def fresh(seeded: bool = True, kind: Kind | None = None) -> None:
    """A server that nothing was done to yet; with the seed's media, or with none."""
    discard()
    kind = kind or kinds.wanted()
    kinds.note(kind)
    _lay_changes()
    if seeded:
        run("cp", "--archive", "--reflink=auto", f"{kind.seed}/matrix/.", MATRIX)
    else:
        matrix.lay(kind, SERVER)
    wanted = on_disk(UNITS / "multi-user.target.wants")
    for name, text in matrix.units(kind, {}).items():
        on_disk(UNITS / name).write_text(text)
        (wanted / name).symlink_to(UNITS / name)


def _lay_changes() -> None:
    """The server's disk: an overlay, since copying the image takes longer than all the rest, and what is beside it."""
    for folder in (CHANGES, CHANGES_WORK, MATRIX, DOCKER, SERVER):
        folder.mkdir(parents=True)
    kind = kinds.current()
    if kind.in_containers and containers.is_built(kind):
        containers.lay(kind, DOCKER)
    mount()


def discard() -> None:
    """Forget the server and all that was done to it."""
    kill()
    while SERVER.is_mount():
        run("umount", "--recursive", SERVER)
    for folder in (CHANGES, CHANGES_WORK, MATRIX, DOCKER, SERVER):
        shutil.rmtree(folder, ignore_errors=True)


def mount() -> None:
    """Lay the server's changes over the image, as after a reboot of this machine."""
    if CHANGES.exists() and not SERVER.is_mount():
        run(
            "mount", "-t", "overlay", "overlay",
            "-o", f"lowerdir={kinds.current().image},upperdir={CHANGES},workdir={CHANGES_WORK}", SERVER,
        )  # fmt: skip
        for folder, place in ((MATRIX, SERVER / "matrix"), (DOCKER, on_disk(containers.FOLDER))):
            place.mkdir(parents=True, exist_ok=True)
            run("mount", "--bind", folder, place)


def up(wait: bool = True) -> None:
    """Boot it, and wait until systemd says that boot is done and Synapse answers; or only until it was started."""
    if process.pid(PROCESS) is not None:
        return
    mount()
    kind = kinds.current()
    LOGS.mkdir(parents=True, exist_ok=True)
    ready = RUN / "ready.sock"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(ready))
        listener.settimeout(1)
        deadline = time.monotonic() + BOOT_SECONDS
        started = process.start(
            PROCESS,
            [
                "systemd-nspawn", "--quiet", "--directory", SERVER, "--boot", f"--machine={NAME}",
                "--register=no", "--keep-unit", "--notify-ready=yes", "--console=pipe",
                f"--network-bridge={NAME}", "--bind=/dev/fuse", "--property=DeviceAllow=/dev/fuse rwm",
                *_of_its_kind(kind),
                f"--bind-ro={image.LIBRARIES}:/opt/synapse", f"--bind-ro={BIN / 'goofys'}:/opt/goofys/goofys",
                f"--bind-ro={BIN / 'rclone'}:/opt/rclone/rclone",
                f"--bind-ro={wheels.FOLDER}:/opt/wheels",
            ],
            env={
                "NOTIFY_SOCKET": str(ready),
                # Control groups of version 2, as distributions have them. Of version 1 systemd in a container may miss
                # that the last process of a unit ended: the unit stops until its time is over.
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            },
            apart=True,
        )  # fmt: skip
        while wait:
            try:
                if "READY=1" in listener.recv(4096).decode().splitlines():
                    break
            except TimeoutError:
                if started.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(
                        f"sandbox: the server did not boot; see {LOGS / 'server.log'}. It may wait for a bucket that "
                        "is gone: `python -m sandbox up --fresh` makes a new one"
                    ) from None
    if wait and kind.in_containers and on_disk(UNITS / "matrix-synapse.service").exists():
        _await_synapse()


def answers() -> bool:
    """Whether Synapse does, and the worker that serves media."""
    return all(process.status(SERVER_ADDRESS, PORT, path) == status for path, status in ALIVE.items())


def _await_synapse() -> None:
    """A unit of a container counts as started before what is in it is ready."""
    deadline = time.monotonic() + SYNAPSE_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise SystemExit(
                "sandbox: Synapse does not answer; look with `python -m sandbox ssh 'journalctl -u matrix-synapse*'`"
            )
        time.sleep(0.1)


def _of_its_kind(kind: Kind) -> list[str]:
    """Options of nspawn for what this kind of server does."""
    if not kind.in_containers:
        return [f"--system-call-filter={SYSTEM_CALLS}"]
    shown = [f"--bind-ro={containers.layer(kind)}:{containers.LAYER}"] if containers.is_built(kind) else []
    return [*FOR_DOCKER, *shown]


def down() -> None:
    """Shut the server down as a power button would; it is killed after a minute."""
    process.stop(PROCESS, signal.SIGTERM)


def kill() -> None:
    """A power loss: every process of the server ends at once."""
    nspawn = process.pid(PROCESS)
    for number in _children(nspawn) if nspawn else []:
        # Its first process; the kernel ends all the others with it, and then nspawn ends.
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    if nspawn:
        process.wait(nspawn)
    process.stop(PROCESS, signal.SIGKILL)


def inside(path: Path) -> Path:
    """A path as the server itself sees it, its /run too; one that leads nowhere while it does not run."""
    nspawn = process.pid(PROCESS)
    first = next(iter(_children(nspawn)), 0) if nspawn else 0
    return Path(f"/proc/{first}/root") / path.relative_to("/")


def _children(number: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def owns(number: int) -> bool:
    """Whether a process of this machine runs on the server, or in one of its containers; nspawn itself does not."""
    nspawn = process.pid(PROCESS)
    while number > 1:
        try:
            number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended
            return False
        if number == nspawn:
            return True
    return False


def _ssh_words() -> list[str]:
    """A way to run a command on the server."""
    known = RUN / "known_hosts"
    known.write_text(f"{SERVER_ADDRESS} {HOST_KEY.with_suffix('.pub').read_text()}")
    return [
        "ssh", "-i", str(SSH_KEY), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes",
        "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", f"root@{SERVER_ADDRESS}",
    ]  # fmt: skip


def popen(*command: str) -> subprocess.Popen[str]:
    """Begin a command on the server, whose output is read as it comes."""
    return subprocess.Popen(
        [*_ssh_words(), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ssh(*command: str, check: bool = True, stdin: str = "") -> str:
    """Run a command on the server; returns its standard output."""
    done = subprocess.run([*_ssh_words(), *command], input=stdin, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{command} ended with status {done.returncode} on the server: {done.stdout}{done.stderr}")
    return done.stdout
