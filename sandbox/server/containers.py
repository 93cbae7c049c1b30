"""The image of all containers of the sandbox, and Docker's folder with it: made once for each kind of server."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..world import BIN, HOME, run, tell
from . import image, matrix
from .kinds import Kind

ROOTFS = HOME / "container"
PACKAGES = "python3,postgresql,redis-server,nginx-light,fuse3,curl,ca-certificates"
SUITE = "bookworm"
ENTRYPOINT = matrix.HERE / "templates/docker/entrypoint"
#: Of no use in a container: documents, and what compiles queries.
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
_CHANGES = (
    'ENTRYPOINT ["/entrypoint"]',
    "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV PYTHONPATH=/opt/synapse",
)
#: Docker's, on the server.
FOLDER = Path("/var/lib/docker")
#: Where a server sees the layer: below Docker's folder Docker would unmount it as it ends.
LAYER = Path("/opt/layer")


def _wanted() -> str:
    files = [ENTRYPOINT.read_text(), image.AUTHORITY.read_text()]
    made = "\n".join([PACKAGES, image.PROVIDER, *image.SYNAPSE, *_CHANGES, *matrix.NETWORKS, *matrix.VERSIONS, *files])
    return hashlib.sha256(made.encode()).hexdigest()


def build_rootfs() -> None:
    """Make what is in the containers: Synapse, PostgreSQL, a Redis, nginx, goofys."""
    ready = ROOTFS / "sandbox-ready"
    if ready.exists() and ready.read_text() == _wanted():
        return
    tell("making the containers' image (about 2 min) ...")
    shutil.rmtree(ROOTFS, ignore_errors=True)
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, ROOTFS)
    for name in _LEFT_OUT:
        shutil.rmtree(ROOTFS / name, ignore_errors=True)
    for library in (ROOTFS / "usr/lib").glob("*/libLLVM*"):
        library.unlink()
    image.trust_the_stores(ROOTFS)
    run("cp", "--archive", image.LIBRARIES, ROOTFS / "opt/synapse")
    shutil.copy(BIN / "goofys", ROOTFS / "usr/bin/goofys")
    shutil.copy(ENTRYPOINT, ROOTFS / "entrypoint")
    ready.write_text(_wanted())


def is_built(kind: Kind) -> bool:
    ready = kind.containers.with_suffix(".ready")
    return ready.exists() and ready.read_text() == _wanted()


def load(kind: Kind, ssh: Sequence[str]) -> None:
    """Have a running server's Docker take the image, by this way to run a command on it; and end Docker there."""
    tell(f"loading the containers' image into the Docker of the {kind.name} server ...")
    first, *others = map(matrix.IMAGE.format, matrix.VERSIONS)
    changes = " ".join(f"--change {shlex.quote(change)}" for change in _CHANGES)
    left_out = [f"--exclude=./{part}/*" for part in ("dev", "proc", "sys")]
    with subprocess.Popen(["tar", "--directory", ROOTFS, "--create", *left_out, "."], stdout=subprocess.PIPE) as tar:
        subprocess.run([*ssh, f"docker import {changes} - {first}"], stdin=tar.stdout, check=True, capture_output=True)
    more = [f"docker tag {first} {other}" for other in others]
    more += [f"docker network create {name}" for name in matrix.NETWORKS]
    end = "systemctl stop docker.socket docker.service"
    subprocess.run([*ssh, " && ".join([*more, end])], check=True, capture_output=True)


def keep(kind: Kind, folder: Path) -> None:
    """Keep Docker's folder of a server that `load` was called for, as the start of all others."""
    shutil.rmtree(kind.containers, ignore_errors=True)
    kind.containers.parent.mkdir(parents=True, exist_ok=True)
    run("cp", "--archive", folder, kind.containers)
    (kind.containers / "volumes/backingFsBlockDev").unlink(missing_ok=True)  # a device, which Docker makes anew
    kind.containers.with_suffix(".ready").write_text(_wanted())


def layer(kind: Kind) -> Path:
    """The image's one layer in the folder that was kept: nothing is ever written to it."""
    (found,) = (kind.containers / "overlay2").glob("*/diff")
    return found


def lay(kind: Kind, folder: Path) -> None:
    """Make a server's folder of Docker's, but for the layer, which is a link: a server that starts is shown that."""
    shown = layer(kind)
    shutil.copytree(
        kind.containers, folder, symlinks=True, dirs_exist_ok=True,
        ignore=lambda above, names: [shown.name] if Path(above) == shown.parent else [],
    )  # fmt: skip
    (folder / shown.relative_to(kind.containers)).symlink_to(LAYER)
