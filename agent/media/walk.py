"""This module walks over the metadata of the local media store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..model.errors import Problem
from ..model.items import Entry


def _entry(path: str, info: os.stat_result) -> Entry:
    return Entry(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def metadata(root: Path, path: str) -> Entry:
    """Return the file's present metadata. Raises FileNotFoundError where it is gone."""
    return _entry(path, os.lstat(root / path))


def walk(
    root: Path, exclude: Sequence[str], below: Sequence[str] = ("",), linked: list[str] | None = None
) -> Iterator[Entry]:
    """Yield every file in the folders `below` of `root`, without the top-level folders in `exclude`.

    `linked` gets the names of files that have further names (hard links). What vanishes meanwhile is passed over, since
    Synapse may be running. Raises `Problem` for what a bucket cannot hold or a walk would miss, and OSError where
    `root` cannot be read.
    """
    device = os.stat(root).st_dev
    folders = list(below)
    while folders:
        inside, entries = list_folder(root, folders.pop(), exclude, device, linked)
        folders += inside
        yield from entries


def list_folder(
    root: Path, folder: str, exclude: Sequence[str], device: int, linked: list[str] | None = None
) -> tuple[list[str], list[Entry]]:
    """Return the folders and the files in one folder of the store; `folder` is `""` for the store's own.

    `device` is the number of the store's file system. Raises what `walk` does.
    """
    top = str(root)
    folders: list[str] = []
    entries: list[Entry] = []
    try:
        listing = os.scandir(f"{top}/{folder}" if folder else top)
    except FileNotFoundError:
        if not folder:
            raise
        return folders, entries
    with listing:
        for item in listing:
            if not folder and item.name in exclude:
                continue
            path = f"{folder}/{item.name}" if folder else item.name
            try:
                if item.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                info = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            _check(top, path, info, device)
            if linked is not None and info.st_nlink > 1:
                linked.append(path)
            entries.append(_entry(path, info))
    return folders, entries


def file_at(root: Path, path: str, device: int) -> list[Entry]:
    """Return a list with the file's present metadata, empty where the file is gone. Raises what `walk` does."""
    try:
        info = os.lstat(root / path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    _check(str(root), path, info, device)
    return [_entry(path, info)]


def files_below(root: Path, path: str, exclude: Sequence[str]) -> Iterator[Entry]:
    """Yield the file at `path`, or every file below it where it is a folder. Raises what `walk` does."""
    if path.split("/", 1)[0] in exclude:
        return
    if os.path.isdir(root / path) and not os.path.islink(root / path):
        yield from walk(root, exclude, [path])
    else:
        yield from file_at(root, path, os.stat(root).st_dev)


def _check(top: str, path: str, info: os.stat_result, device: int) -> None:
    """Raise `Problem` for a file that a bucket cannot hold, or that lies on another file system."""
    if info.st_dev != device:
        raise Problem(
            f"{top}/{os.path.dirname(path)} is another file system mounted inside the media store",
            "move its files into the media store's own file system first",
        )
    if not stat.S_ISREG(info.st_mode):
        raise Problem(
            f"{top}/{path!r} is neither a file nor a folder (a link?): a bucket cannot hold it",
            "replace it by what it points to, or remove it",
        )
    _check_name(top, path)


def _check_name(root: str, path: str) -> None:
    if path.isascii() and path.isprintable() and len(path) <= 1024:
        return  # nearly all of them, and this is asked for every file
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
