"""How many files are copied at once: as the stack says, or as fits the distance to the store and the free memory."""

from __future__ import annotations

import http.client
from pathlib import Path

from .context import Context
from .s3 import StoreError

#: Copied at once beside a store that answers at once: more gain nothing on two cores.
NEAR = 32
#: How many more for each millisecond of the round trip, since each file waits for one; and the most.
PER_MILLISECOND, MOST = 1, 128
#: Memory that one takes at most in rclone, in bytes, and the share of what is free that all may take.
EACH, SHARE = 2 << 20, 0.25


def fitting(round_trip: float, free: int) -> int:
    """For a round trip in seconds, and so many bytes of free memory. Pure."""
    by_distance = min(MOST, NEAR + round(round_trip * 1000 * PER_MILLISECOND))
    return max(4, min(by_distance, int(free * SHARE / EACH)))


def at_once(context: Context) -> int:
    """Asked once in a run, before services stop; a store that cannot be asked now counts as near."""
    if context.settings.migration.transfers:
        return context.settings.migration.transfers
    if not context.pace:
        try:
            round_trip = context.bucket.round_trip()
        except (OSError, StoreError, http.client.HTTPException):
            context.pace = NEAR
            return NEAR
        context.pace = fitting(round_trip, free_memory())
        context.say(f"{context.pace} files are copied at once: {round_trip * 1000:.0f} ms to the store and back")
    return context.pace


def free_memory() -> int:
    """Bytes that the kernel could give without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return EACH * MOST * 4  # a kernel that does not say
