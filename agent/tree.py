"""The local media store: one walk over its metadata."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import Problem


@dataclass(frozen=True)
class Entry:
    """A regular file; times in nanoseconds, size in bytes, path relative to the store."""

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int


def entry(root: Path, path: str) -> Entry:
    """The file's present metadata; FileNotFoundError where it is gone."""
    info = os.stat(root / path, follow_symlinks=False)
    return Entry(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def walk(root: Path, exclude: list[str]) -> Iterator[Entry]:
    """Every file below `root` but the top-level folders in `exclude`.

    What vanishes meanwhile is passed over: Synapse may be running. What a bucket cannot hold, or a
    walk would miss, is a `Problem`.
    """
    top = str(root)
    device = os.stat(top).st_dev
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            listing = os.scandir(top + "/" + folder if folder else top)
        except FileNotFoundError:
            if not folder:
                raise
            continue
        with listing:
            for item in listing:
                path = f"{folder}/{item.name}" if folder else item.name
                if not folder and item.name in exclude:
                    continue
                try:
                    info = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(info.st_mode):
                    if info.st_dev != device:
                        raise Problem(
                            f"{root}/{path} is another file system mounted inside the media store",
                            "move its files into the media store's own file system first",
                        )
                    folders.append(path)
                elif stat.S_ISREG(info.st_mode):
                    _check_name(root, path)
                    yield Entry(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
                else:
                    raise Problem(
                        f"{root}/{path!r} is neither a file nor a folder (a link?): a bucket cannot hold it",
                        "replace it by what it points to, or remove it",
                    )


def _check_name(root: Path, path: str) -> None:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise Problem(
            f"a file name below {root} is not UTF-8: {path!r}",
            "rename the file; Synapse never makes such a name",
        ) from None
    # U+201B is rclone's own escape character; S3 keys end at 1,024 bytes.
    if "\n" in path or "\r" in path or "\u201b" in path or len(encoded) > 1024:
        raise Problem(
            f"a file name below {root} has a line break, U+201B or over 1,024 bytes: {path!r}",
            "rename the file; Synapse never makes such a name",
        )
