"""The server's own memory of the migration: what holds, what is under way, how often it changed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import Problem
from .files import read_json, write_json
from .places import Places

#: Phases in order. `local` is a server on which nothing of ours holds.
PHASES = ("local", "prepare", "mirror", "live", "clean")

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
    base: int = 0
    step: Step | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, places: Places) -> Journal:
        document = read_json(places.journal)
        if document is None:
            return cls()
        step = document.pop("step", None)
        return cls(step=Step(**step) if step else None, **document)

    def save(self, places: Places) -> None:
        write_json(places.journal, asdict(self))


@contextmanager
def locked(places: Places, wait: bool = False) -> Iterator[None]:
    """Hold the one lock under which the server may be changed; refuse, or wait, while another does."""
    places.var.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Problem(
                "another run is changing this server's media store",
                "wait for it (journalctl -fu matrix-media-store-converge), then run pulumi up again",
            ) from None
        yield
    finally:
        os.close(fd)
