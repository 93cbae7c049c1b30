"""Runs on the server as the homeserver's user: swaps names in and beside the media store for links, and back.

Each swap is one system call, so that a check before it and the use after it see different things. At the end all that
it moved lies where it was. Prints how many swaps there were.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
import time
from collections.abc import Iterator

PARENT, VICTIM, STOP = sys.argv[1:4]
TOPS = (
    "media-store", "media-store-local-backup", "media-store-local-backup.incomplete",
    "media-store-local-backup.removing",
)  # fmt: skip
WORK = (".incoming", ".incomplete", ".incomplete.incoming", ".removing")
AT_CWD, EXCHANGE = -100, 2
LIBRARY = ctypes.CDLL(None, use_errno=True)


def exchange(one: str, other: str) -> bool:
    return bool(LIBRARY.renameat2(AT_CWD, one.encode(), AT_CWD, other.encode(), EXCHANGE) == 0)


def is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.path.ismount(path)


def targets() -> Iterator[tuple[str, str]]:
    """A folder beside the store, and a path in it: what may be swapped."""
    for name in os.listdir(PARENT):
        if name.startswith("media-store"):
            yield name, ""
    for top in TOPS:
        if is_folder(os.path.join(PARENT, top)):
            for folder, folders, files in os.walk(os.path.join(PARENT, top)):
                inner = os.path.relpath(folder, os.path.join(PARENT, top))
                for name in [*folders, *files[:1]]:
                    yield top, os.path.normpath(os.path.join(inner, name))
    for suffix in WORK:
        if is_folder(os.path.join(PARENT, TOPS[1] + suffix, "files")):
            yield TOPS[1] + suffix, "files"


def put_back(top: str, inner: str, aside: str) -> bool:
    """What was swapped goes back, under whichever name its tree has by now."""
    for name in dict.fromkeys((top, *TOPS)):
        path = os.path.normpath(os.path.join(PARENT, name, inner))
        if os.path.islink(path) and os.readlink(path).startswith(VICTIM):
            return exchange(path, aside)
        if not os.path.lexists(path) and is_folder(os.path.dirname(path)) and not inner:
            os.rename(aside, path)
            return True
    return False


def lay_links() -> None:
    """Names that root may need, taken before root makes them."""
    laid = []
    for suffix in random.sample(WORK, 2):
        with contextlib.suppress(OSError):
            os.symlink(VICTIM, os.path.join(PARENT, TOPS[1] + suffix))
            laid.append(TOPS[1] + suffix)
    time.sleep(random.random() * 0.1)
    for name in laid:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(PARENT, name))


def main() -> None:
    swaps, displaced = 0, []
    while not os.path.exists(STOP):
        if random.random() < 0.3:
            lay_links()
        try:
            found = list(targets())
        except OSError:
            continue
        for top, inner in random.sample(found, min(10, len(found))):
            aside = os.path.join(PARENT, f".aside-{swaps}-{random.random()}")
            os.symlink(os.path.join(VICTIM, "folder"), aside)
            if exchange(os.path.normpath(os.path.join(PARENT, top, inner)), aside):
                swaps += 1
                time.sleep(random.random() * 0.02)
                with contextlib.suppress(OSError):
                    if not put_back(top, inner, aside):
                        displaced.append((top, inner, aside))
            if os.path.islink(aside):
                os.unlink(aside)
    for each in displaced:
        with contextlib.suppress(OSError):
            put_back(*each)
        if os.path.islink(each[2]):
            os.unlink(each[2])
    print(swaps)


main()
