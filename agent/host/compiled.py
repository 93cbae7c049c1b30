"""This module adds bytecode to the agent's modules, so that what is asked in a window starts sooner.

Python compiles what it imports from a zipapp anew each time. This copy has the bytecode for the Python that made it;
another Python passes that over and compiles the source, as it would without the copy.
"""

from __future__ import annotations

import io
import py_compile
import tempfile
import zipfile
from pathlib import Path

from .files import write_atomic

#: The member of the zipapp that names its content; its `__main__` looks for a copy of that name beside it.
CONTENT = "content"


def lay(agent: Path, zipapp: bytes) -> None:
    """Put the compiled copy beside the agent, and take away the copies of other versions."""
    with zipfile.ZipFile(io.BytesIO(zipapp)) as archive:
        copy = agent.with_name(f"{agent.name}.{archive.read(CONTENT).decode()}")
        data = _with_bytecode(archive)
    for old in agent.parent.glob(f"{agent.name}.*"):
        if old != copy:
            old.unlink()
    write_atomic(copy, data, 0o644)


def _with_bytecode(archive: zipfile.ZipFile) -> bytes:
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        folder = Path(name)
        for member in archive.namelist():
            data = archive.read(member)
            made.writestr(member, data)
            if member.endswith(".py"):
                source, target = folder / "source.py", folder / "compiled.pyc"
                source.write_bytes(data)
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(str(source), str(target), member, doraise=True, invalidation_mode=mode)
                made.writestr(f"{member}c", target.read_bytes())
    return buffer.getvalue()
