"""This module says which names a file and an object can both have. It is pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from ..model.layout import RESERVED

#: What ends a name in a list of names, and what rclone takes for other characters: it passes over such a file without a
#: word. https://rclone.org/overview/#restricted-filenames
UNFIT = re.compile("[\0\n\r\u201b\u2401-\u241f\u2421]")
#: Bytes that a name may have: S3's keys end at 1,024, of which a prefix may take 201.
LONGEST = 820
#: Bytes that each part of it may have: https://man7.org/linux/man-pages/man7/path_resolution.7.html
LONGEST_PART = 255
#: What a file system of its own has at its top: https://man7.org/linux/man-pages/man8/mklost%2Bfound.8.html
LOST_AND_FOUND = "lost+found"


def trouble(path: str) -> str:
    """Return why a name cannot be both a file's and an object's; the text is empty where it can."""
    if path.isascii() and path.isprintable() and len(path) <= LONGEST_PART:
        return _trouble_of_parts(path)  # nearly all of them, and this is asked for every file
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if UNFIT.search(path):
        return "has a line break, or a character that rclone takes for another one, so it cannot be copied"
    if len(encoded) > LONGEST or any(len(part) > LONGEST_PART for part in encoded.split(b"/")):
        return f"has over {LONGEST} bytes, or a part of over {LONGEST_PART}"
    return _trouble_of_parts(path)


def is_media(top: str) -> bool:
    """Return whether what has that name at the top of the store may be media, and not this program's or the disk's."""
    return not top.startswith(RESERVED) and top != LOST_AND_FOUND


def ends(path: str, tops: Collection[str]) -> Iterator[str]:
    """Yield each end of a path that begins with one of the names in `tops`, as a file of the store may be called."""
    found = path.split("/")
    for place, part in enumerate(found):
        if part in tops:
            yield "/".join(found[place:])


def told(paths: Iterable[str], tops: Collection[str]) -> set[str]:
    """Return all names of files of the store that paths may mean, as their writers saw them; none that has trouble."""
    return {end for path in paths for end in ends(path, tops) if not trouble(end)}


def _trouble_of_parts(path: str) -> str:
    """Return why a key such as `/etc/passwd` or `a/../b` is no file's name."""
    return "has an empty part, or one that is a dot or two" if {"", ".", ".."} & set(path.split("/")) else ""
