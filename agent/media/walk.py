"""This module walks over the metadata of the local media store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..host.beneath import Folder
from ..model.errors import Problem
from ..model.items import Entry
from ..model.layout import RESERVED


def entry(path: str, info: os.stat_result) -> Entry:
    """Return the entry of a file with that metadata."""
    return Entry(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def walk(
    root: Path, exclude: Sequence[str], below: Sequence[str] = ("",), linked: list[str] | None = None
) -> Iterator[Entry]:
    """Yield every file in the folders `below` of `root`, without this program's own and those at the top in `exclude`.

    `linked` gets the names of files that have further names (hard links). What vanishes meanwhile is passed over, since
    Synapse may be running. Raises `Problem` for what a bucket cannot hold or a walk would miss, and OSError where
    `root` cannot be read.
    """
    with Folder.at(root) as top:
        yield from _walk(top, exclude, below, linked)


def _walk(
    top: Folder, exclude: Sequence[str], below: Sequence[str], linked: list[str] | None = None
) -> Iterator[Entry]:
    folders = list(below)
    while folders:
        inside, entries = list_folder(top, folders.pop(), exclude, linked)
        folders += inside
        yield from entries


def list_folder(
    root: Folder, folder: str, exclude: Sequence[str], linked: list[str] | None = None
) -> tuple[list[str], list[Entry]]:
    """Return the folders and the files in one folder of the store; `folder` is `""` for the store's own.

    Raises what `walk` does.
    """
    device = root.metadata().st_dev
    folders: list[str] = []
    entries: list[Entry] = []
    try:
        opened = root.folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        if not folder:
            raise
        return folders, entries
    with opened, os.scandir(opened.number) as listing:
        for item in listing:
            if not folder and (item.name in exclude or item.name == RESERVED):
                continue
            path = f"{folder}/{item.name}" if folder else item.name
            try:
                if item.is_dir(follow_symlinks=False):
                    _check_name(root.path, path)  # or folders in each other without end would be walked
                    folders.append(path)
                    continue
                info = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            _check(root.path, path, info, device)
            if linked is not None and info.st_nlink > 1:
                linked.append(path)
            entries.append(entry(path, info))
    return folders, entries


def file_at(root: Folder, path: str) -> list[Entry]:
    """Return a list with the file's present metadata, empty where the file is gone. Raises what `walk` does."""
    info = root.find(path)
    if info is None:
        return []
    _check(root.path, path, info, root.metadata().st_dev)
    return [entry(path, info)]


def files_below(root: Folder, path: str, exclude: Sequence[str]) -> Iterator[Entry]:
    """Yield the file at `path`, or every file below it where it is a folder. Raises what `walk` does."""
    top = path.split("/", 1)[0]
    if top in exclude or top == RESERVED:
        return
    if root.has_folder(path):
        yield from _walk(root, exclude, [path])
    else:
        yield from file_at(root, path)


def _check(top: Path, path: str, info: os.stat_result, device: int) -> None:
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


def _check_name(root: Path, path: str) -> None:
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
