"""What every step works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .console import say
from .errors import Problem
from .files import read_json
from .journal import Journal
from .places import Places
from .settings import Settings, merge, parse
from .system import System

if TYPE_CHECKING:
    from .manifest import Manifest
    from .s3 import Bucket


@dataclass
class Context:
    """The server, its settings and its journal; `say` reports progress."""

    places: Places
    settings: Settings
    system: System
    journal: Journal
    say: Callable[[str], None] = say
    started: float = field(default_factory=time.time)
    #: When the window must be over, on the monotonic clock; None outside of one.
    deadline: float | None = None
    #: How many files are copied at once, once it is known; see `pace`.
    pace: int = 0

    @classmethod
    def load(cls, places: Places, *documents: dict[str, Any]) -> Context:
        """The server as the agent last knew it, with newer settings laid over."""
        known = read_json(places.settings) or {}
        return cls(places, parse(merge(known, *documents)), System(), Journal.load(places))

    # These two import what they need once asked for: a verb that is called in a window may need neither.
    @cached_property
    def bucket(self) -> Bucket:
        from .s3 import Bucket

        return Bucket(self.settings.store)

    def manifest(self, kept: bool = True) -> Manifest:
        """The manifest; or one in memory, for a few files."""
        from .manifest import Manifest

        path = self.places.manifest if kept else None
        return Manifest(path, customer_key=bool(self.settings.store.sse_customer_key))

    def save(self, dearly: bool = True) -> None:
        self.journal.save(self.places, dearly)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Inside a window nothing may wait long: a store that does not answer must not keep the services down.

        The time for copying begins with `start_clock`, once all that takes its time by itself is over.
        """
        self.bucket.set_patience(attempts=3, timeout=10)
        try:
            yield
        finally:
            self.deadline = None
            self.bucket.set_patience()

    def start_clock(self) -> None:
        self.deadline = time.monotonic() + self.settings.migration.window_seconds

    def check_clock(self) -> None:
        """`Problem` where the time for the window is over."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise Problem(
                f"the last files did not arrive within {self.settings.migration.window_seconds} s",
                "the window was given up, nothing was moved; look why the store is slow, or set "
                "migration.windowSeconds higher",
            )

    def checked(self, by: str) -> None:
        """Remember when, and by what, both sides were compared last. Saved with the journal's next save."""
        self.journal.facts["checked"] = {"time": round(time.time()), "by": by}

    @property
    def owner(self) -> tuple[int, int]:
        """uid and gid of the media store, as found when it was local."""
        facts = self.journal.facts
        return facts["uid"], facts["gid"]


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)
