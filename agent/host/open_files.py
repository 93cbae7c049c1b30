"""This module says which processes can still write to files below a folder, whatever their units say.

A unit may be stopped and its process alive: a container whose client died, a process that was left behind. So what is
asked is the kernel: each process's open files and its shared maps, with the mounts of its own namespace.
https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .mounts import Mount, mounts_of

PROC = Path("/proc")
#: How the kernel marks the name of a file that was removed.
DELETED = " (deleted)"


class Writer(NamedTuple):
    """A `Writer` is a process that has a file below the folder open for writing; `file` is relative to the folder."""

    process: int
    program: str
    file: str


class Place(NamedTuple):
    """A `Place` is a folder as its file system knows it, in whatever namespace it is seen: device, and path there."""

    device: str
    path: str


def place_of(folder: Path) -> Place | None:
    """Return where a folder is in its file system, by this process's mounts, or None where no mount has it."""
    return place_in(os.path.join(os.path.realpath(folder.parent), folder.name), mounts_of("self"))


def place_in(path: str, seen: list[Mount]) -> Place | None:
    """Return where a path without links is in its file system, by a namespace's mounts, or None where none has it."""
    over = [mount for mount in seen if _is_in(path, mount.place)]
    if not over:
        return None
    last = max(enumerate(over), key=lambda each: (len(each[1].place), each[0]))[1]
    return Place(last.device, _join(last.root, path[len(last.place.rstrip("/")) :]))


def writers(folder: Path) -> list[Writer]:
    """Return the processes that have a file below the folder open for writing, or mapped so, but for this one."""
    place = place_of(folder)
    if place is None:
        return []
    found: list[Writer] = []
    prefixes: dict[str, list[str]] = {}
    for process in PROC.iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            with contextlib.suppress(OSError):  # it ended
                namespace = os.readlink(process / "ns/mnt")
                if namespace not in prefixes:
                    prefixes[namespace] = seen_as(place, mounts_of(process.name))
                found += _of_process(process, prefixes[namespace])
    return found


def seen_as(place: Place, seen: list[Mount]) -> list[str]:
    """Return the paths by which a namespace with these mounts sees the place, or a part of it."""
    found = []
    for mount in seen:
        if mount.device != place.device:
            continue
        if _is_in(place.path, mount.root):
            found.append(_join(mount.place, place.path[len(mount.root.rstrip("/")) :]))
        elif _is_in(mount.root, place.path):
            found.append(mount.place)
    return found


def _of_process(process: Path, prefixes: list[str]) -> Iterator[Writer]:
    if not prefixes:
        return
    for path in {*_open(process, prefixes), *_mapped(process)}:
        prefix = next((each for each in prefixes if _is_in(path, each)), None)
        if prefix is not None and not path.endswith(DELETED):
            program = (process / "comm").read_text(errors="replace").strip()
            yield Writer(int(process.name), program, path[len(prefix) :].lstrip("/"))


def _open(process: Path, prefixes: list[str]) -> Iterator[str]:
    for number in os.listdir(process / "fd"):
        with contextlib.suppress(OSError, ValueError):  # it was closed
            path = os.readlink(process / "fd" / number)
            if any(_is_in(path, each) for each in prefixes) and _writes((process / "fdinfo" / number).read_text()):
                yield path


def _writes(told: str) -> bool:
    """Return whether a file's fdinfo says that it is open for writing."""
    flags = next(line.split()[1] for line in told.splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _mapped(process: Path) -> Iterator[str]:
    for line in (process / "maps").read_text(errors="surrogateescape").splitlines():
        words = line.split(None, 5)
        if len(words) == 6 and words[1][1] == "w" and words[1][3] == "s":
            yield words[5]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _join(folder: str, rest: str) -> str:
    return (folder.rstrip("/") + "/" + rest.lstrip("/")).rstrip("/") or "/"
