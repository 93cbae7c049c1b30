"""This module makes the agent as one zipapp, the same bytes on every machine."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

from agent.model.version import VERSION_DIGITS
from agent.model.version import version as version_of

AGENT = Path(__file__).resolve().parents[2] / "agent"
#: What the zipapp runs. A copy with bytecode may lie beside it, see `agent.host.compiled`; where none does, Python
#: passes that place over.
_MAIN = """\
import sys
sys.path.insert(0, sys.path[0] + ".{content}")
from agent.__main__ import main
sys.exit(main())
"""


@cache
def build() -> bytes:
    """Return the zipapp. Its files are stored, not compressed: compression differs between versions of zlib."""
    files = {
        str(path.relative_to(AGENT.parent)): path.read_bytes()
        for path in AGENT.rglob("*")
        if path.suffix in (".py", ".service", ".conf", ".timer", ".txt")
    }
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(name.encode() + b"\0" + files[name] + b"\0")
    content = whole.hexdigest()[:VERSION_DIGITS]
    files |= {"__main__.py": _MAIN.format(content=content).encode(), "content": content.encode()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return buffer.getvalue()


def encoded() -> str:
    """Return the zipapp in base64."""
    return base64.b64encode(build()).decode()


def sha256() -> str:
    """Return the SHA-256 of the zipapp in hexadecimal digits."""
    return hashlib.sha256(build()).hexdigest()


def version() -> str:
    """Return the agent's version, which its content makes: an agent that differs has another one."""
    return version_of(sha256())
