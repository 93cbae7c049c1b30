"""What is mounted where, as the kernel says it (proc(5))."""

from __future__ import annotations

import re
from typing import NamedTuple


class Mount(NamedTuple):
    """`device` is major:minor, `kind` the file system's, `source` a device or a name that the program chose."""

    device: str
    place: str
    kind: str
    source: str


def mounts() -> list[Mount]:
    """All of them; of those at one place, what is seen there comes last."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return [_mount(line) for line in file]


def _mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    fields, (kind, source) = left.split(), right.split()[:2]
    return Mount(fields[2], _unescape(fields[4]), kind, source)


def _unescape(field: str) -> str:
    """Blanks and backslashes are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
