"""This module holds the media store as it was, in eight bytes a file; one walk finds what is otherwise now.

The manifest knows as much and more, but with a million files taking a walk into it, and asking it what changed, takes
many times longer than the walk. `find` walks several times faster than Python: a file of which it says exactly what is
known is as it was; any other one is looked at by the rules of `walk`. Where find is missing, fails, or prints another
form, `walk` walks alone. https://man7.org/linux/man-pages/man1/find.1.html
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..host.beneath import Folder
from ..host.linked import Store
from ..host.processes import as_owner
from ..model.items import Entry
from .walk import entry, file_at, list_folder, walk

#: How find tells of a file; `_told` says the same of an `Entry`.
FORMAT = r"%s %T@ %C@ %i %p\0"
#: Runs of find at once; more gain little, as the kernel's locks are shared.
MOST_PROCESSES = 4
#: Seconds for one find; whoever owns the store may stop it for good.
SECONDS = 120
#: Folders that one find is given: their names must fit its command line.
FOLDERS = 200


def _told(info: Entry) -> bytes:
    """Return what find prints for an entry with `FORMAT`: fractions of a second have ten digits."""
    return b"%d %d.%09d0 %d.%09d0 %d ./%s" % (
        info.size, *divmod(info.mtime, 10**9), *divmod(info.ctime, 10**9), info.inode, os.fsencode(info.path),
    )  # fmt: skip


def _digest(told: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big", signed=True)


#: What stands for an entry, in 64 bits; Python's own hash has fewer on small machines.
_mark = hash if sys.hash_info.width >= 64 else _digest


class Snapshot:
    """A `Snapshot` holds a mark of 64 bits for each of the files it was made of.

    Two different files have the same mark with a chance of 1 to 2^64. Marks are good within this process only, since
    Python's hash has another key in each.
    """

    def __init__(self, entries: Iterable[Entry], owner: tuple[int, int]) -> None:
        """Hold these files; find runs with the rights of `owner`, user and group by number."""
        self._owner = owner
        self._marks = array("q", sorted(array("q", map(_mark, map(_told, entries)))))

    def __contains__(self, told: bytes) -> bool:
        """Return whether the snapshot has the file that `told` describes in find's form."""
        mark = _mark(told)
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def compare(self, root: Path, exclude: Sequence[str]) -> tuple[list[Entry], int]:
        """Walk the store, and return the files that are new or changed since the snapshot, and how many are not.

        Raises what `walk.walk` does.
        """
        with contextlib.suppress(_Unfit, OSError), Store.at(root) as top:
            return self._by_find(top, exclude)
        return self.part(walk(root, exclude))

    def _by_find(self, root: Store, exclude: Sequence[str]) -> tuple[list[Entry], int]:
        """Do what `compare` does with several runs of find, which share the folders of the second level evenly."""
        self._check_words(root)
        tops, entries = list_folder(root, "", exclude)
        folders: list[str] = []
        for top in tops:
            inside, beside = list_folder(root, top, exclude)
            folders += inside
            entries += beside
        changed, same = self.part(entries)
        processes = min(os.cpu_count() or 1, MOST_PROCESSES)
        shares = max(processes, -(-len(folders) // FOLDERS))
        with ThreadPoolExecutor(processes) as pool:
            for unknown, seen in pool.map(
                lambda share: self._unknown(root, folders[share::shares]), range(min(shares, len(folders)))
            ):
                same += seen - len(unknown)
                changed += [one for path in unknown for one in file_at(root, path)]
        return changed, same

    def _check_words(self, root: Folder) -> None:
        """Raise _Unfit where find prints another form for the store's own folder: all files would look changed."""
        known = entry(".", root.metadata())
        if list(_find(root, self._owner, "./.", which=("-maxdepth", "0"))) != [_told(known)]:
            raise _Unfit

    def _unknown(self, root: Folder, folders: Sequence[str]) -> tuple[list[str], int]:
        """Return the paths in these folders that the snapshot lacks in find's form, and how many find saw."""
        unknown, seen = [], 0
        for told in _find(root, self._owner, *(f"./{folder}" for folder in folders)):
            seen += 1
            if told not in self:
                unknown.append(os.fsdecode(told.split(b" ", 4)[4][2:]))
        return unknown, seen

    def part(self, entries: Iterable[Entry]) -> tuple[list[Entry], int]:
        """Return those of `entries` that are new or changed since the snapshot, and how many are as they were."""
        found, seen = [], 0
        for one in entries:
            seen += 1
            if _told(one) not in self:
                found.append(one)
        return found, seen - len(found)


class _Unfit(Exception):
    """This error says that find cannot be used here."""


def _find(
    root: Folder, owner: tuple[int, int], *where: str, which: Sequence[str] = ("!", "-type", "d")
) -> Iterator[bytes]:
    """Yield what find prints for each file. Raises OSError where there is no find, and _Unfit where it fails."""
    find = as_owner(["find", *where, *which, "-printf", FORMAT], *owner)
    argv = ["timeout", "--signal=KILL", str(SECONDS), *find]
    with subprocess.Popen(
        argv, cwd=root.magic_link, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:  # fmt: skip
        assert process.stdout
        rest = b""
        while block := process.stdout.read(1 << 20):
            *told, rest = (rest + block).split(b"\0")
            yield from told
    if process.returncode or rest:
        raise _Unfit
