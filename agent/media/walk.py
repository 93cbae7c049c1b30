"""This module walks over the metadata of the local media store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..host.linked import Store
from ..model.errors import Problem
from ..model.items import Entry
from . import names


def entry(path: str, info: os.stat_result) -> Entry:
    """Return the entry of a file with that metadata."""
    return Entry(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def walk(
    root: Path,
    exclude: Sequence[str],
    linked: list[str] | None = None,
    unfit: list[Problem] | None = None,
) -> Iterator[Entry]:
    """Yield every file below `root`, without this program's own and the folders at the top in `exclude`.

    `linked` gets the names of files that have further names (hard links), `unfit` the `Problem` of each thing that a
    bucket cannot hold or a walk would miss; without it, the first is raised. What vanishes meanwhile is passed over,
    since Synapse may be running. Raises OSError where `root` cannot be read.
    """
    with Store.at(root) as top:
        yield from _walk(top, exclude, [""], linked, unfit)


def _walk(
    top: Store,
    exclude: Sequence[str],
    below: Sequence[str],
    linked: list[str] | None = None,
    unfit: list[Problem] | None = None,
) -> Iterator[Entry]:
    folders = list(below)
    while folders:
        inside, entries = list_folder(top, folders.pop(), exclude, linked, unfit)
        folders += inside
        yield from entries


def list_folder(
    root: Store,
    folder: str,
    exclude: Sequence[str],
    linked: list[str] | None = None,
    unfit: list[Problem] | None = None,
) -> tuple[list[str], list[Entry]]:
    """Return the folders and the files in one folder of the store; `folder` is `""` for the store's own.

    Raises what `walk` does.
    """
    device, is_top = root.device_of(folder), not folder or folder in root.links
    folders: list[str] = []
    entries: list[Entry] = []
    try:
        opened = root.folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        if not folder:
            raise
        return folders, entries
    with opened, os.scandir(opened.number) as listing:
        try:
            _check_device(root.path, folder, opened.metadata(), device)
        except Problem as problem:
            _note(problem, unfit)
            return folders, entries
        for item in listing:
            if is_top and not names.is_media(item.name) or not folder and item.name in exclude:
                continue
            path = f"{folder}/{item.name}" if folder else item.name
            try:
                if item.is_dir(follow_symlinks=False) or path in root.links:
                    _check_name(root.path, path)  # or folders in each other without end would be walked
                    folders.append(path)
                    continue
                info = item.stat(follow_symlinks=False)
                _check(root.path, path, info, device)
            except FileNotFoundError:
                continue
            except Problem as problem:
                _note(problem, unfit)
                continue
            if linked is not None and info.st_nlink > 1:
                linked.append(path)
            entries.append(entry(path, info))
    return folders, entries


def _note(problem: Problem, unfit: list[Problem] | None) -> None:
    if unfit is None:
        raise problem
    unfit.append(problem)


def file_at(root: Store, path: str, linked: list[str] | None = None) -> list[Entry]:
    """Return a list with the file's present metadata, empty where the file is gone. Raises what `walk` does."""
    info = root.find(path)
    if info is None:
        return []
    _check(root.path, path, info, root.device_of(path))
    if linked is not None and info.st_nlink > 1:
        linked.append(path)
    return [entry(path, info)]


def files_below(root: Store, path: str, exclude: Sequence[str], linked: list[str] | None = None) -> Iterator[Entry]:
    """Yield the file at `path`, or every file below it where it is a folder.

    `linked` is as in `walk`. Raises what that does.
    """
    top = path.split("/", 1)[0]
    if top in exclude or not names.is_media(top):
        return
    if root.has_folder(path):
        yield from _walk(root, exclude, [path], linked)
    else:
        yield from file_at(root, path, linked)


def empty_below(top: Store, path: str) -> list[str]:
    """Return the folder at `path`, or those below it, in which nothing is."""
    try:
        with top.folder(path) as folder:
            inside = folder.names()
            folders = [name for name in inside if folder.has_folder(name)]
    except OSError:  # it is gone
        return []
    return [path] if not inside else [each for name in folders for each in empty_below(top, f"{path}/{name}")]


def _check(top: Path, path: str, info: os.stat_result, device: int) -> None:
    """Raise `Problem` for a file that a bucket cannot hold, or that lies on another file system."""
    _check_device(top, os.path.dirname(path), info, device)
    if stat.S_ISLNK(info.st_mode):
        raise Problem(
            f"{top}/{path!r} is a link within the media store, and is not followed",
            "see 'The media store is on more than one disk' in docs/runbook.md: one at the top of the store is, to a "
            "folder of the media's owner that is there (is its disk mounted?), if it is root's (chown -h root); any "
            "other, replace by what it leads to, with Synapse stopped",
        )
    if not stat.S_ISREG(info.st_mode):
        raise Problem(f"{top}/{path!r} is neither a file nor a folder: a bucket cannot hold it", "remove it")
    _check_name(top, path)


def _check_device(top: Path, folder: str, info: os.stat_result, device: int) -> None:
    if info.st_dev != device:
        raise Problem(
            f"{top}/{folder} is another file system mounted inside the media store",
            "move its files into the media store's own file system first, or the whole media store to that disk",
        )


def _check_name(root: Path, path: str) -> None:
    trouble = names.trouble(path)
    if trouble:
        fix = "move it out of the media store, or rename it: Synapse never makes such a name"
        raise Problem(f"a file name below {root} {trouble}: {path!r}", fix)
