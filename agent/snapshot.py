"""The media store as it was, in eight bytes a file: what is otherwise now is found by one walk.

The manifest knows as much and more, but with a million files taking a walk into it, and asking it what
changed, takes many times longer than the walk.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from .tree import Entry, look, walk

#: Files from which on the walk is shared between processes: starting them takes as long as walking so many.
SHARED_FROM = 20_000
#: Processes that walk; more gain little, as the kernel's locks are shared.
MOST_PROCESSES = 4
#: Lots that the folders of one kind of media are handed out in.
LOTS = 16


class Snapshot:
    """Marks of entries. Two different entries have the same one with a chance of 1 to 2^64, and the
    hash is keyed anew in each process: good as long as it lives, not to be stored."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._marks = array("q", sorted(array("q", map(hash, entries))))

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, entry: Entry) -> bool:
        mark = hash(entry)
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def compare(self, root: Path, exclude: Sequence[str]) -> tuple[list[Entry], int]:
        """Walk the store: the files that are new or otherwise than in the snapshot, and how many are as they were.

        Raises what `tree.walk` does.
        """
        if len(self) < SHARED_FROM:
            return self.compare_below(root, exclude, [""])
        processes = min(os.cpu_count() or 1, MOST_PROCESSES)
        with ProcessPoolExecutor(processes, get_context("fork"), initializer=_inherit, initargs=(self,)) as pool:
            return self._share(root, exclude, pool)

    def _share(self, root: Path, exclude: Sequence[str], pool: Executor) -> tuple[list[Entry], int]:
        """Folders of the second level are many enough to share evenly, and few enough to hand over."""
        device = os.stat(root).st_dev
        jobs: list[Future[tuple[list[Entry], int]]] = []
        tops, entries = look(root, "", exclude, device)
        for top in tops:
            folders, beside = look(root, top, exclude, device)
            entries += beside
            lots = [folders[start::LOTS] for start in range(min(LOTS, len(folders)))]
            jobs += [pool.submit(_compare_below, root, exclude, lot) for lot in lots]
        found, same = self._part(entries)
        for job in jobs:
            others, count = job.result()
            found += others
            same += count
        return found, same

    def compare_below(self, root: Path, exclude: Sequence[str], below: list[str]) -> tuple[list[Entry], int]:
        """The same for some of the store's folders, here and now."""
        return self._part(walk(root, exclude, below))

    def _part(self, entries: Iterable[Entry]) -> tuple[list[Entry], int]:
        found, seen = [], 0
        for entry in entries:
            seen += 1
            if entry not in self:
                found.append(entry)
        return found, seen - len(found)


#: The snapshot of a process that helps. It is inherited: handing it over would copy it.
_inherited: Snapshot | None = None


def _inherit(snapshot: Snapshot) -> None:
    global _inherited
    _inherited = snapshot


def _compare_below(root: Path, exclude: Sequence[str], below: list[str]) -> tuple[list[Entry], int]:
    assert _inherited
    return _inherited.compare_below(root, exclude, below)
