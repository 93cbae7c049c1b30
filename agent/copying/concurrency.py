"""This module decides how many files are copied at once where the stack does not say.

More fit the farther the store is, and the more memory is free.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..store.bucket import STORE_TROUBLE

if TYPE_CHECKING:
    from ..model.ports import Bucket, Say

#: Copied at once beside a store that answers at once: more gain nothing on two cores.
NEAR = 32
#: How many more for each millisecond of the round trip, since each file waits for one.
PER_MILLISECOND = 1
#: The most that are copied at once.
MOST = 128
#: Memory that one file takes at most in rclone, in bytes.
EACH = 2 << 20
#: The share of the free memory that all may take.
SHARE = 0.25


def fitting(round_trip: float, free: int) -> int:
    """Return how many files fit a round trip in seconds and that many bytes of free memory. It is pure."""
    by_distance = min(MOST, NEAR + round(round_trip * 1000 * PER_MILLISECOND))
    return max(4, min(by_distance, int(free * SHARE / EACH)))


def decide(bucket: Bucket, say: Say) -> int:
    """Ask how far the store is, and return how many files fit; a store that cannot be asked now counts as near."""
    try:
        round_trip = bucket.round_trip()
    except STORE_TROUBLE:
        return NEAR
    decided = fitting(round_trip, free_memory())
    say(f"{decided} files are copied at once: {round_trip * 1000:.0f} ms to the store and back")
    return decided


def free_memory() -> int:
    """Return how many bytes the kernel could give without swapping: MemAvailable in /proc/meminfo.

    https://man7.org/linux/man-pages/man5/proc.5.html
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return EACH * MOST * 4  # a kernel that does not say
