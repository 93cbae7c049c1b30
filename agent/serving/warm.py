"""This module has a mount look at its folders before anybody uses it: whoever comes first need not wait for that.

A program that mounts a bucket knows no name when it starts. Synapse makes an upload's folders on the thread that
answers everybody, one after the other, so the first uploads after a swap would keep all waiting for some listings each.
What is looked at here is the upper folders alone, in a few seconds, with a request for each. Nothing comes of it if it
fails.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from ..state.records import Owner
from ..state.run import Server

#: Folders that are listed at the most, so many at once, and seconds for all of them.
MOST, AT_ONCE, SECONDS = 2000, 32, 5.0


def look_around(server: Server, owner: Owner, place: Path) -> None:
    """List the folders of the two upper levels of a mount, with the rights of the media's owner."""
    with contextlib.suppress(OSError):
        server.system.as_user(owner.uid, owner.gid, lambda: _list(place), SECONDS + 1)


def _list(place: Path) -> None:
    deadline = time.monotonic() + SECONDS

    def below(folder: str) -> list[str]:
        if time.monotonic() > deadline:
            return []
        with contextlib.suppress(OSError), os.scandir(folder) as found:
            return [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        return []

    with ThreadPoolExecutor(AT_ONCE) as pool:

        def each(folders: Iterator[str]) -> Iterator[str]:
            for found in pool.map(below, folders):
                yield from found

        for _ in pool.map(below, islice(each(iter(below(str(place)))), MOST)):
            pass
