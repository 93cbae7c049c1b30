"""This module keeps what the kernel told of a local store, as long as it was not found equal in the bucket since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..host.linked import Store
from ..model.items import Entry
from . import names
from .walk import empty_below, files_below

if TYPE_CHECKING:
    from ..model.ports import Listener


class Changed:
    """A `Changed` has the paths that a listener told of, each of a file, or of a folder with all below it.

    It lives as long as the listener, and only what is dropped goes: whatever fails after it heard, nothing is lost.
    """

    def __init__(self, listener: Listener, exclude: Sequence[str]) -> None:
        """Begin with nothing; what lies in the folders `exclude` at the top is passed over."""
        self._listener, self._exclude = listener, exclude
        self.paths: set[str] = set()

    def hear(self) -> bool:
        """Take in what was told by now; return whether that is all, and nothing may have been missed."""
        told = self._listener.take()
        self.paths |= {path for path in told or () if self._counts(path)}
        return told is not None

    def drop(self, paths: Iterable[str]) -> None:
        """Drop paths that were equal at a look since this last heard: the kernel tells again if anything changes."""
        self.paths.difference_update(paths)

    def new_folders(self, top: Store) -> list[str]:
        """Return the folders without a file in them that are told of: somebody is about to write there.

        Those at the top are among them in any case: rclone looks for these once, when its mount begins.
        """
        found = []
        for path in sorted(self.paths):
            if top.has_folder(path):
                found += empty_below(top, path) + ([] if "/" in path else [path])
        return found

    def _counts(self, path: str) -> bool:
        top = path.partition("/")[0]
        return top not in self._exclude and names.is_media(top)


class Look(NamedTuple):
    """A `Look` is what is at a path that was told of, and which names of ours are gone from there.

    It is `whole` where the kernel tells of this path once more if anything changes there: no name that is gone must be
    remembered, and no folder waits for its first file. It is `linked` where a file has another name: what is written by
    one is told of that alone. `seconds` is how long the look took.
    """

    files: list[Entry]
    gone: set[str]
    whole: bool
    linked: bool
    seconds: float


def look_at(
    top: Store,
    path: str,
    exclude: Sequence[str],
    uploaded_below: Callable[[str], Iterable[str]],
    check: Callable[[], None],
) -> Look:
    """Look at a path; `uploaded_below` tells names of ours at and below it. `check` may end it by raising.

    Raises what `walk` does.
    """
    check()
    began, linked = time.monotonic(), list[str]()
    files = list(files_below(top, path, exclude, linked))
    there = {file.path for file in files}
    gone = {*uploaded_below(path)} - there
    if files:
        whole = "/" in path and not gone and (path in there or not empty_below(top, path))
    else:
        whole = not gone and not top.has_folder(path)
    return Look(files, gone, whole, bool(linked), time.monotonic() - began)
