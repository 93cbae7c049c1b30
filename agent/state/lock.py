"""This module is the one lock under which the server may be changed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..model.errors import Busy
from ..model.layout import Layout

#: Seconds that a run waits for the lock: the watchdog holds it while it brings a mount back.
PATIENCE_SECONDS = 45.0


@contextmanager
def locked(layout: Layout, wait: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock in the body. Raises `Busy` after `wait` seconds in which another run holds it."""
    layout.var.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait
        while not _take(fd):
            if time.monotonic() >= deadline:
                raise Busy(
                    "another run is changing this server's media store",
                    "wait for it (journalctl -fu matrix-media-store-converge), then run pulumi up again",
                )
            time.sleep(0.1)
        yield
    finally:
        os.close(fd)


def is_busy(layout: Layout) -> bool:
    """Return whether another run holds the lock now."""
    try:
        with locked(layout, wait=0):
            return False
    except Busy:
        return True


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
