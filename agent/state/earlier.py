"""This module lays files aside that a change of the mount replaces, until something newer has proved itself.

Programs need not be: each has a file of its own for each pin. These are removed when what they served is.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.files import read_json, write_atomic, write_json
from ..model import programs
from ..model.layout import Layout

if TYPE_CHECKING:
    from ..model.ports import System

#: Content by path; None for a file that was not there.
Files = Mapping[Path, "bytes | None"]


def read(paths: list[Path]) -> Files:
    """Return the content of the files as they are now, by path; None is for a file that is not there."""
    return {path: path.read_bytes() if path.exists() else None for path in paths}


def lay_aside(layout: Layout, files: Files) -> None:
    """Keep the files on disk, in the place of what was kept before. Raises OSError where the disk has no room."""
    encoded = {str(path): None if data is None else base64.b64encode(data).decode() for path, data in files.items()}
    write_json(layout.earlier, encoded)


def forget(layout: Layout, keep: Collection[Path]) -> None:
    """Remove what was laid aside, and the programs beside the agent that are not in `keep`: something newer serves."""
    from ..host import fetch  # not for those that are asked in a window

    layout.earlier.unlink(missing_ok=True)
    for name in programs.NAMES:
        for path in layout.lib.glob(f"{name}*"):
            if path.suffix != fetch.NOTE and path not in keep:
                fetch.remove(path)


def bring_back(layout: Layout, system: System) -> bool:
    """Put the files that were laid aside in place again, and return whether there were any."""
    document = read_json(layout.earlier)
    if document is None:
        return False
    for name, text in document.items():
        path = Path(name)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, base64.b64decode(text), path.stat().st_mode & 0o777)
    system.systemctl("daemon-reload")
    return True
