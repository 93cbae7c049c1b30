"""The server's own memory of the migration: what holds, what is under way, how often it changed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import Problem
from .files import damaged, read_json, write_dearly, write_json
from .places import Places

#: Phases in order. `local` is a server on which nothing of ours holds.
PHASES = ("local", "prepare", "mirror", "live", "clean")
#: The one run that is to no other phase.
REMOUNT = "remount"

#: Bytes laid aside so that the journal can be written on a full disk: a window must end there too.
RESERVE_BYTES = 1 << 20
#: Seconds a run waits for the lock: the watchdog holds it while it brings a mount back.
PATIENCE_SECONDS = 45.0

#: Who may serve media: the local store, the bucket, or (inside the window) nobody.
SERVING = ("local", "bucket", "none")


@dataclass
class Step:
    """A transition under way that stops services; what recovery needs to finish or undo it."""

    name: str
    stage: str
    units: list[str]


@dataclass
class Journal:
    """Kept as one JSON file, replaced atomically."""

    phase: str = "local"
    serving: str = "local"
    generation: int = 0
    #: What the last run was told to start from; see `is_at`.
    base: str = "0"
    step: Step | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, places: Places) -> Journal:
        document = read_json(places.journal)
        if document is None:
            return cls()
        try:
            step = document.pop("step", None)
            document["base"] = str(document["base"])
            return cls(step=Step(**step) if step else None, **document)
        except (AttributeError, KeyError, TypeError) as error:
            raise damaged(places.journal, error) from None

    def is_at(self, after: str) -> bool:
        """Whether `after` is this generation, or any. What follows a point tells apart runs that saw the same one."""
        return after == "any" or after.partition(".")[0] == str(self.generation)

    def save(self, places: Places, dearly: bool = True) -> None:
        """`dearly` on a full disk too; a window does not begin so, it only ends so."""
        if dearly:
            write_dearly(places.journal, asdict(self), places.reserve)
        else:
            write_json(places.journal, asdict(self))


@contextmanager
def locked(places: Places, wait: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the one lock under which the server may be changed; refuse after `wait` seconds in which another does."""
    places.var.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait
        while not _take(fd):
            if time.monotonic() >= deadline:
                raise Problem(
                    "another run is changing this server's media store",
                    "wait for it (journalctl -fu matrix-media-store-converge), then run pulumi up again",
                )
            time.sleep(0.1)
        yield
    finally:
        os.close(fd)


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
