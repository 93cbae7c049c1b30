"""The agent as one zipapp, the same bytes on every machine."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "agent"
_MAIN = "import sys\nfrom agent.__main__ import main\nsys.exit(main())\n"


@cache
def build() -> bytes:
    """The zipapp. Stored, not compressed: compression differs between versions of zlib."""
    files = {"__main__.py": _MAIN.encode()}
    for path in AGENT.rglob("*"):
        if path.suffix in (".py", ".service", ".conf", ".txt"):
            files[str(path.relative_to(AGENT.parent))] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return buffer.getvalue()


def encoded() -> str:
    return base64.b64encode(build()).decode()


def sha256() -> str:
    return hashlib.sha256(build()).hexdigest()
