"""The media store as it was, in eight bytes a file: what is otherwise now is found by one walk.

The manifest knows as much and more, but with a million files taking a walk into it, and asking it what
changed, takes many times longer than the walk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import Problem
from .tree import Entry, look, walk

#: Files from which on the walk is shared between processes: below, starting them takes as long as walking.
SHARED_FROM = 20_000
#: Processes that walk; more gain little, as the kernel's locks are shared.
MOST_PROCESSES = 4


def _digest(entry: Entry) -> int:
    digest = hashlib.blake2b(repr(tuple(entry)).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


#: What stands for an entry, in 64 bits; Python's own hash has fewer on small machines.
_mark = hash if sys.hash_info.width >= 64 else _digest


class Snapshot:
    """Marks of entries. Two different ones are the same with a chance of 1 to 2^64, and they are good as long as
    this process lives: the hash is keyed anew in each."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._marks = array("q", sorted(array("q", map(_mark, entries))))

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, entry: Entry) -> bool:
        mark = _mark(entry)
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def compare(self, root: Path, exclude: Sequence[str]) -> tuple[list[Entry], int]:
        """Walk the store: the files that are new or otherwise than in the snapshot, and how many are as they were.

        Raises what `tree.walk` does.
        """
        processes = min(os.cpu_count() or 1, MOST_PROCESSES)
        if len(self) >= SHARED_FROM and processes > 1:
            # A machine without room for another process, or one that was killed: then without help.
            with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
                return self._share(root, exclude, processes)
        return self._part(walk(root, exclude))

    def _share(self, root: Path, exclude: Sequence[str], processes: int) -> tuple[list[Entry], int]:
        """Folders of the second level are many enough to share evenly."""
        device = os.stat(root).st_dev
        tops, entries = look(root, "", exclude, device)
        folders: list[str] = []
        for top in tops:
            inside, beside = look(root, top, exclude, device)
            folders += inside
            entries += beside
        helpers: list[_Helper] = []
        try:
            for number in range(1, processes):
                share = folders[number::processes]
                helpers.append(_Helper(lambda: self._part(walk(root, exclude, share))))  # noqa: B023 (run at once)
            found, same = self._part(entries)
            for others, count in [
                self._part(walk(root, exclude, folders[::processes])),
                *(h.result() for h in helpers),
            ]:
                found += others
                same += count
            return found, same
        finally:
            for helper in helpers:
                helper.end()

    def _part(self, entries: Iterable[Entry]) -> tuple[list[Entry], int]:
        found, seen = [], 0
        for entry in entries:
            seen += 1
            if entry not in self:
                found.append(entry)
        return found, seen - len(found)


class _Helper:
    """A process of its own, which inherits the snapshot, and nothing that could be held open: no lock, no database."""

    def __init__(self, action: Any) -> None:
        reader, writer = os.pipe()
        try:
            self._number = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if self._number == 0:
            try:
                os.closerange(3, writer)
                os.closerange(writer + 1, 1024)
                try:
                    answer: Any = action()
                except Problem as problem:
                    answer = problem
                with open(writer, "wb") as pipe:
                    pickle.dump(answer, pipe)
            finally:
                os._exit(0)  # whatever happened: the rest of the program is the parent's
        os.close(writer)
        self._pipe = open(reader, "rb")  # noqa: SIM115 (closed by `end`)

    def result(self) -> tuple[list[Entry], int]:
        """What the action gave. Raises its Problem, or EOFError where the process ended without an answer."""
        answer = pickle.load(self._pipe)
        if isinstance(answer, Problem):
            raise answer
        return answer  # type: ignore[no-any-return]

    def end(self) -> None:
        """Gone, whether it was done or not."""
        self._pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._number, signal.SIGKILL)
        os.waitpid(self._number, 0)
