"""This module writes files so that a power loss leaves the old one or the new one, never a half."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from ..model.errors import Problem

#: Free space that must remain on any disk that the agent writes to, in bytes.
SPARE_BYTES = 256 << 20
#: How the kernel says that a disk is full.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> bool:
    """Replace the file at `path` by `data`, and return whether its content or its mode had to change.

    The new file has `mode`, and belongs to `owner` (user, group) where one is given; one that has this content and mode
    already keeps its owner. Raises OSError where it cannot be written.
    """
    if path.is_file() and path.read_bytes() == data and (path.stat().st_mode & 0o777) == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        if owner:
            os.fchown(fd, *owner)
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.replace(new, path)
    sync_folder(path.parent)
    return True


def write_json(path: Path, document: Any) -> bool:
    """Replace the file at `path` by a JSON document, with mode 0600, and return whether it had to change."""
    return write_atomic(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def write_dearly(path: Path, document: Any, reserve: Path) -> None:
    """Write a JSON document as `write_json` does, on a full disk too: the file `reserve` is removed to make room.

    Raises OSError where it cannot be written all the same.
    """
    try:
        write_json(path, document)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        reserve.unlink(missing_ok=True)
        write_json(path, document)


def lay_reserve(reserve: Path, size: int) -> None:
    """Make a file of `size` bytes whose blocks are really taken. Raises OSError where the disk has no room for it."""
    if reserve.exists() and reserve.stat().st_size == size:
        return
    fd = os.open(reserve, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)


def read_json(path: Path) -> Any:
    """Return the JSON document in `path`, or None where there is no such file. Raises `Problem` where it is damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> Problem:
    """Return the `Problem` of a file of ours that holds what we did not write."""
    return Problem(f"{path} is damaged: {error}", "nothing was changed; bring it back from a backup of the server")


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder so that it survives a power loss. Raises FileExistsError where `target` exists.

    rename(2) itself would replace an empty folder: https://man7.org/linux/man-pages/man2/rename.2.html
    """
    if os.path.lexists(target):
        raise FileExistsError(f"{target} exists already")
    os.rename(source, target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)
