"""This module collects what the kernel tells of files that were written through the mount, while they are open still.

The way home and a move to another store bring them over alike: in rounds while people write, and last in the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..media import names
from ..serving.hold import Unfit
from . import pending
from .changes import MOST_FILES, TooMuch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.ports import Heard
    from ..serving.write_cache import Cache


class Told:
    """A `Told` has the names that somebody told of, and that are not the same on both sides yet."""

    #: None where nobody tells what is written.
    heard: Heard | None
    #: The names at the top of the store.
    tops: frozenset[str]
    open: set[str]
    #: The caches in front of the bucket, and the names that one of them alone has by now.
    caches: Sequence[Cache]
    waiting: set[str]

    def hear(self, few: bool) -> list[str]:
        """Return all open names, with those that were told of by now.

        Raises `Unfit` where the kernel lost what it had to tell, and with `few`, TooMuch where they are more than that.
        """
        told = self.heard.take() if self.heard else None
        if told is None:
            self.heard = None
            raise Unfit("the kernel told no more what is written through the mount")
        self.open |= names.told(told, self.tops) | self.waiting
        # What is in the mount's cache alone is in no bucket yet: it would be taken for gone.
        self.waiting = pending.owed(self.caches, self.open)
        self.open -= self.waiting
        if few and len(self.open) > MOST_FILES:
            raise TooMuch
        return sorted(self.open)
