"""This module knows the programs that serve file systems by FUSE: each has the kernel's device open.

https://www.kernel.org/doc/html/latest/filesystems/fuse.html
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: The kernel's device, by its path in each namespace.
DEVICE = "/dev/fuse"


def serves(process: Path) -> bool:
    """Return whether a process serves a file system; `process` is its folder in /proc. One that ended does not."""
    try:
        numbers = os.listdir(process / "fd")
    except OSError:
        return False
    for number in numbers:
        with contextlib.suppress(OSError):  # it was closed
            if os.readlink(process / "fd" / number) == DEVICE:
                return True
    return False


def programs() -> list[Path]:
    """Return the folders in /proc of the processes that serve a file system."""
    return [folder for folder in Path("/proc").iterdir() if folder.name.isdigit() and serves(folder)]
