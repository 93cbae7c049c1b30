"""This module says how far long work is, in lines that a person can read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.ports import Say


#: Seconds between progress lines.
PROGRESS_SECONDS = 5


class Sometimes:
    """This class passes progress lines on, at most one every PROGRESS_SECONDS."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Pass the line on if the last one was said, or this object made, more than PROGRESS_SECONDS ago."""
        if time.monotonic() - self._said > PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._say(text)


@dataclass
class Progress:
    """A `Progress` says how far a copy or a comparison in lots is.

    `files` and `bytes` are those in all, `done` and `bytes_done` what earlier lots did of them.
    """

    files: int
    bytes: int
    done: int = 0
    bytes_done: int = 0
    start: float = field(default_factory=time.monotonic)
    #: What is done to the files.
    verb: str = "copied"

    def add(self, files: int, size: int) -> None:
        """Count that many more files and bytes as over, whether they arrived or not."""
        self.done += files
        self.bytes_done += size

    def line(self, files: int, size: int) -> str:
        """Return the line for that many files and bytes of the present lot, and all of the earlier lots."""
        seconds = time.monotonic() - self.start
        return progress_line(self.done + files, self.files, self.bytes_done + size, self.bytes, seconds, self.verb)


def progress_line(
    done: int, files: int, bytes_done: int, bytes_total: int, seconds: float, verb: str = "copied"
) -> str:
    """Return such a line: `copied 120 of 5,000 files, 12.0 of 508.0 MB (2 %), 8.1 MB/s, about 1 min 1 s left`."""
    rate = bytes_done / seconds if seconds > 0 else 0
    # Large files come first: what is left is many small ones, and the slower of both measures is right.
    parts = [part for part in (done / max(files, 1), bytes_done / max(bytes_total, 1)) if 0 < part < 1]
    left = f", about {_duration(max(seconds * (1 - part) / part for part in parts))} left" if parts else ""
    return (
        f"{verb} {done:,} of {files:,} files, {bytes_done / 1e6:,.1f} of {bytes_total / 1e6:,.1f} MB "
        f"({100 * min(parts, default=float(done >= files)):.0f} %), "
        f"{rate / 1e6:,.1f} MB/s{left}"
    )


def _duration(seconds: float) -> str:
    """Return a time for people, in the two units that matter: 12 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
