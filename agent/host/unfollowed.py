"""This module opens folders by their absolute path, and follows only the links that root alone may have laid."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: How a folder is opened: never through a link.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Links on the way to a folder, as many as the kernel follows.
MOST_LINKS = 40
#: How the kernel says that a part of a path is a link, or no folder.
_NO_FOLDER = (errno.ELOOP, errno.ENOTDIR)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raise NotADirectoryError for a link too, for which the kernel has two words."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, "a link, or no folder", error.filename) from None
        raise


def open_absolute(path: Path) -> int:
    """Return the descriptor of a folder, opened part by part; a link is followed only if root alone could lay it.

    Raises NotADirectoryError for any other link, and FileNotFoundError and further OSErrors as the kernel does.
    """
    waiting = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    opened = [os.open("/", FOLDER)]
    links = 0
    try:
        while waiting:
            name = waiting.pop()
            if name == "..":
                if len(opened) > 1:
                    os.close(opened.pop())
                continue
            try:
                with told():
                    opened.append(os.open(name, FOLDER, dir_fd=opened[-1]))
            except NotADirectoryError:
                target = _trusted_link(opened[-1], name, path)
                links += 1
                if links > MOST_LINKS:
                    raise
                if target.startswith("/"):
                    for number in opened[1:]:
                        os.close(number)
                    del opened[1:]
                waiting += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        return os.dup(opened[-1])
    finally:
        for number in opened:
            os.close(number)


def _trusted_link(folder: int, name: str, path: Path) -> str:
    """Return where a link leads. Raises NotADirectoryError where it is none, or somebody other than root may lay it."""
    holder, found = os.fstat(folder), os.stat(name, dir_fd=folder, follow_symlinks=False)
    others_write = holder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISLNK(found.st_mode) or holder.st_uid != 0 or found.st_uid != 0 or others_write:
        raise NotADirectoryError(errno.ENOTDIR, f"{name!r} is no folder, or a link that root did not lay", str(path))
    return os.readlink(name, dir_fd=folder)
