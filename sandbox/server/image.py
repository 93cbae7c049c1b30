"""Debian as a provider would bring it, for each kind of server: made once."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..world import (
    B2_S3_HOST,
    CERTIFICATES,
    GOOGLES_HOST,
    HOME,
    HOST_ADDRESS,
    HOST_KEY,
    SERVER_ADDRESS,
    SSH_KEY,
    run,
    tell,
)
from .kinds import Kind

PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,rsync,fuse3,sudo,ca-certificates,iproute2,"
    "curl,procps"
)
DOCKERS = "docker.io,iptables"
#: As on old installs of the playbook.
MATRIX_ID = 991
LIBRARIES = HOME / "synapse"
#: Who vouches for the sandbox's stores.
AUTHORITY = CERTIFICATES / "ca.crt"
#: Containers bring their own, whatever Debian the server is.
SYNAPSE = ("matrix-synapse[redis]==1.163.2", "psycopg2-binary==2.9.13", "boto3==1.44.5", "humanize", "six", "tqdm")
#: It asks for psycopg2 to be compiled, and so is installed without what it asks for; first, for its program.
PROVIDER = "synapse-s3-storage-provider==1.7.0"
SYNAPSES_PYTHON = "3.11"


def _packages(kind: Kind) -> str:
    docker = [DOCKERS] if kind.in_containers else []
    return ",".join([PACKAGES, *docker, *(["docker-cli"] if docker and kind.suite == "trixie" else [])])


def build(kind: Kind) -> bool:
    """Make the kind's image where it is not there or outdated, and return whether that was so."""
    ready, wanted = kind.image / "etc/sandbox-ready", f"{_packages(kind)}\n{B2_S3_HOST}\n{AUTHORITY.read_text()}"
    if ready.exists() and ready.read_text() == wanted:
        return False
    shutil.rmtree(kind.image, ignore_errors=True)
    kind.image.parent.mkdir(parents=True, exist_ok=True)
    tell(f"making the image of the {kind.name} server (about 1 min) ...")
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_packages(kind)}", kind.suite, kind.image)
    _configure(kind.image)
    write(ready, wanted)
    return True


def build_libraries() -> None:
    """Synapse's libraries, for servers and containers."""
    stamp, wanted = LIBRARIES / "sandbox-ready", "\n".join([PROVIDER, *SYNAPSE])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    tell("installing Synapse's libraries (about 1 min) ...")
    new = LIBRARIES.with_name("synapse.new")
    shutil.rmtree(new, ignore_errors=True)
    for wishes in (("--no-deps", PROVIDER), SYNAPSE):
        run(
            HOME.parent / ".venv/bin/pip", "install", "--quiet", "--target", new, "--python-version", SYNAPSES_PYTHON,
            "--implementation", "cp", "--only-binary=:all:", *wishes,
        )  # fmt: skip
    (new / stamp.name).write_text(wanted)
    shutil.rmtree(LIBRARIES, ignore_errors=True)
    new.rename(LIBRARIES)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def trust_the_stores(image: Path) -> None:
    """Have a tree trust the certificates of the sandbox's stores."""
    write(image / "usr/local/share/ca-certificates/sandbox.crt", AUTHORITY.read_text())
    run("chroot", image, "update-ca-certificates")


def _configure(image: Path) -> None:
    """What a provider's image would bring: address, keys, the `matrix` user, /dev/fuse for all."""
    write(
        image / "etc/systemd/network/10-host0.network",
        f"[Match]\nName=host0\n[Network]\nAddress={SERVER_ADDRESS}/24\nGateway={HOST_ADDRESS}\nLinkLocalAddressing=no\n",
    )
    # nspawn passes the device with mode 0600; on real servers it is open to all.
    write(image / "etc/tmpfiles.d/fuse.conf", "z /dev/fuse 0666 root root\n")
    write(image / "root/.ssh/authorized_keys", SSH_KEY.with_suffix(".pub").read_text(), 0o600)
    (image / "root/.ssh").chmod(0o700)
    for old in (image / "etc/ssh").glob("ssh_host_*"):
        old.unlink()
    write(image / "etc/ssh/ssh_host_ed25519_key", HOST_KEY.read_text(), 0o600)
    write(image / "etc/ssh/sshd_config.d/sandbox.conf", "UseDNS no\n")
    write(image / "etc/hostname", "matrix-server\n")
    write(
        image / "etc/hosts",
        f"127.0.0.1 localhost\n127.0.1.1 matrix-server\n{HOST_ADDRESS} {B2_S3_HOST} {GOOGLES_HOST}\n",
    )
    write(image / "etc/machine-id", "")
    trust_the_stores(image)
    run("chroot", image, "systemctl", "enable", "systemd-networkd", "ssh")
    run("chroot", image, "groupadd", "--gid", str(MATRIX_ID), "matrix")
    run(
        "chroot", image, "useradd", "--uid", str(MATRIX_ID), "--gid", "matrix", "--home-dir", "/matrix",
        "--no-create-home", "--shell", "/usr/sbin/nologin", "matrix",
    )  # fmt: skip
    # A server that reaches no package index, as administrators of such set it up.
    write(image / "etc/pip.conf", "[global]\nno-index = true\nfind-links = /opt/wheels\n")
