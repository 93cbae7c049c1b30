"""The Debian server of the sandbox: image, boot, and commands on it."""

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
from ..store import NAMES
from ..world import (
    B2_S3_HOST,
    BIN,
    CERTIFICATES,
    GOOGLES_HOST,
    HOME,
    HOST_ADDRESS,
    HOST_KEY,
    IMAGE,
    LOGS,
    NAME,
    PLACE,
    ROOT,
    RUN,
    SEED,
    SERVER,
    SERVER_ADDRESS,
    SSH_KEY,
    run,
    tell,
)

HERE = Path(__file__).parent
LIBRARIES = HOME / "synapse"
PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,rsync,fuse3,sudo,ca-certificates,iproute2,"
    "curl,procps"
)
#: Debian 12: its Python is the one Synapse's libraries are chosen for.
SUITE, PYTHON = "bookworm", "3.11"
SYNAPSE = "matrix-synapse==1.163.2"
#: Marks an image that was finished; another one is made anew.
READY = f"{PACKAGES}\n{B2_S3_HOST}\n{NAMES}\n"
WHEELS = HOME / "wheels"
B2_REQUIREMENTS = ROOT / "agent/copying/b2-requirements.txt"
CHANGES, CHANGES_WORK = PLACE / "server-changes", PLACE / "server-changes.work"
#: /matrix is a disk's file system and no overlay, as on real servers: the kernel tells of less on an overlay.
MATRIX = PLACE / "server-matrix"
#: As on old installs of the playbook.
MATRIX_ID = 991
PROCESS = "server"
BOOT_SECONDS = 120


def build_image() -> None:
    """Debian with systemd and sshd, and Synapse's libraries beside it; once."""
    ready = IMAGE / "etc/sandbox-ready"
    if not ready.exists() or ready.read_text() != READY:
        discard()  # its server is made of it
        shutil.rmtree(IMAGE, ignore_errors=True)
        tell("making the server's image (about 1 min) ...")
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, IMAGE)
        _configure(IMAGE)
    if not (LIBRARIES / "bin").exists():
        tell("installing Synapse's libraries (about 1 min) ...")
        new = LIBRARIES.with_name("synapse.new")
        shutil.rmtree(new, ignore_errors=True)
        run(
            HOME.parent / ".venv/bin/pip", "install", "--quiet", "--target", new, "--python-version", PYTHON,
            "--implementation", "cp", "--only-binary=:all:", SYNAPSE,
        )  # fmt: skip
        shutil.rmtree(LIBRARIES, ignore_errors=True)
        new.rename(LIBRARIES)


def fetch_wheels() -> None:
    """What a server installs the b2 command line from; once for each list of versions."""
    listed = WHEELS / B2_REQUIREMENTS.name
    if listed.exists() and listed.read_bytes() == B2_REQUIREMENTS.read_bytes():
        return
    tell("fetching the b2 command line ...")
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    run(
        HOME.parent / ".venv/bin/pip", "download", "--quiet", "--dest", WHEELS, "--python-version", PYTHON,
        "--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement", B2_REQUIREMENTS,
    )  # fmt: skip
    shutil.copy(B2_REQUIREMENTS, listed)


def make_ssh_keys() -> None:
    SSH_KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key in (SSH_KEY, HOST_KEY):
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sandbox", "-f", key)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _configure(image: Path) -> None:
    """What a provider's image would bring: address, keys, the `matrix` user, /dev/fuse for all."""
    _write(
        image / "etc/systemd/network/10-host0.network",
        f"[Match]\nName=host0\n[Network]\nAddress={SERVER_ADDRESS}/24\nGateway={HOST_ADDRESS}\nLinkLocalAddressing=no\n",
    )
    # nspawn passes the device with mode 0600; on real servers it is open to all.
    _write(image / "etc/tmpfiles.d/fuse.conf", "z /dev/fuse 0666 root root\n")
    _write(image / "root/.ssh/authorized_keys", SSH_KEY.with_suffix(".pub").read_text(), 0o600)
    (image / "root/.ssh").chmod(0o700)
    for old in (image / "etc/ssh").glob("ssh_host_*"):
        old.unlink()
    _write(image / "etc/ssh/ssh_host_ed25519_key", HOST_KEY.read_text(), 0o600)
    _write(image / "etc/ssh/sshd_config.d/sandbox.conf", "UseDNS no\n")
    _write(image / "etc/hostname", "matrix-server\n")
    _write(
        image / "etc/hosts",
        f"127.0.0.1 localhost\n127.0.1.1 matrix-server\n{HOST_ADDRESS} {B2_S3_HOST} {GOOGLES_HOST}\n",
    )
    _write(image / "etc/machine-id", "")
    shutil.copy(CERTIFICATES / "ca.crt", image / "usr/local/share/ca-certificates/sandbox.crt")
    run("chroot", image, "update-ca-certificates")
    run("chroot", image, "systemctl", "enable", "systemd-networkd", "ssh")
    run("chroot", image, "groupadd", "--gid", str(MATRIX_ID), "matrix")
    run(
        "chroot", image, "useradd", "--uid", str(MATRIX_ID), "--gid", "matrix", "--home-dir", "/matrix",
        "--no-create-home", "--shell", "/usr/sbin/nologin", "matrix",
    )  # fmt: skip
    _write(image / "etc/systemd/system/matrix-synapse.service", (HERE / "matrix-synapse.service").read_text())
    run("chroot", image, "systemctl", "enable", "matrix-synapse")
    # A server that reaches no package index, as administrators of such set it up.
    _write(image / "etc/pip.conf", "[global]\nno-index = true\nfind-links = /opt/wheels\n")
    _write(image / "etc/sandbox-ready", READY)


def on_disk(path: Path) -> Path:
    """A path of the server on its disk, as seen from this machine."""
    return SERVER / path.relative_to("/")


def own(path: Path) -> None:
    """Give a tree to the server's `matrix` user."""
    for folder, _, files in os.walk(path):
        for item in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(item, MATRIX_ID, MATRIX_ID, follow_symlinks=False)


def empty_matrix(root: Path) -> None:
    """/matrix as the playbook lays it, without media."""
    config, storage = root / "matrix/synapse/config", root / "matrix/synapse/storage"
    for folder in (config, storage / "media-store"):
        folder.mkdir(parents=True)
    for name in ("homeserver.yaml", "log.yaml"):
        shutil.copy(HERE / name, config / name)
    own(root / "matrix")
    (root / "matrix").chmod(0o750)


def fresh(seeded: bool = True) -> None:
    """A server that nothing was done to yet; with the seed's media, or with none."""
    discard()
    # An overlay, since copying the image takes longer than all the rest; /matrix is made anew beside it.
    for folder in (CHANGES, CHANGES_WORK, MATRIX, SERVER):
        folder.mkdir(parents=True)
    mount()
    if seeded:
        run("cp", "--archive", "--reflink=auto", f"{SEED}/matrix/.", MATRIX)
    else:
        empty_matrix(SERVER)


def discard() -> None:
    """Forget the server and all that was done to it."""
    kill()
    while SERVER.is_mount():
        run("umount", "--recursive", SERVER)
    for folder in (CHANGES, CHANGES_WORK, MATRIX, SERVER):
        shutil.rmtree(folder, ignore_errors=True)


def mount() -> None:
    """Lay the server's changes over the image, as after a reboot of this machine."""
    if CHANGES.exists() and not SERVER.is_mount():
        run(
            "mount", "-t", "overlay", "overlay",
            "-o", f"lowerdir={IMAGE},upperdir={CHANGES},workdir={CHANGES_WORK}", SERVER,
        )  # fmt: skip
        (SERVER / "matrix").mkdir(exist_ok=True)
        run("mount", "--bind", MATRIX, SERVER / "matrix")


def up(wait: bool = True) -> None:
    """Boot it and wait until systemd says that boot is done; or only until it was started."""
    if process.pid(PROCESS) is not None:
        return
    mount()
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
                # What root may do on a real server, and nspawn forbids.
                "--system-call-filter=fanotify_init fanotify_mark open_by_handle_at",
                f"--bind-ro={LIBRARIES}:/opt/synapse", f"--bind-ro={BIN / 'goofys'}:/opt/goofys/goofys",
                f"--bind-ro={BIN / 'rclone'}:/opt/rclone/rclone",
                f"--bind-ro={WHEELS}:/opt/wheels",
            ],
            env={"NOTIFY_SOCKET": str(ready)}, apart=True,
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


def _children(number: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def processes() -> list[int]:
    """Ids, on this machine, of all that runs on the server: what shares its first process's namespace."""
    nspawn = process.pid(PROCESS)
    spaces = {os.readlink(f"/proc/{number}/ns/pid") for number in (_children(nspawn) if nspawn else [])}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns/pid") in spaces:
                    found.append(int(entry.name))
    return found


def ssh(*command: str, check: bool = True, stdin: str = "") -> str:
    """Run a command on the server; returns its standard output."""
    known = RUN / "known_hosts"
    known.write_text(f"{SERVER_ADDRESS} {HOST_KEY.with_suffix('.pub').read_text()}")
    done = subprocess.run(
        [
            "ssh", "-i", str(SSH_KEY), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes",
            "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", f"root@{SERVER_ADDRESS}", *command,
        ],
        input=stdin, capture_output=True, text=True,
    )  # fmt: skip
    if check and done.returncode:
        raise RuntimeError(f"{command} ended with status {done.returncode} on the server: {done.stdout}{done.stderr}")
    return done.stdout
