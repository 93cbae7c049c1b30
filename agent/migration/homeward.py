"""This module brings home what came to the bucket since it was listed: before the window of the way home, and in it.

No listing is asked for. The kernel tells what was written through the mount, whatever the store's size; where it does
not, the window lists the whole bucket, see `pull`. That this program's mount alone writes to the bucket is what the
mark of ownership says; nobody else's word is taken for it: once the local store serves, all of the bucket is listed
once more, see `settle`.

What is true if the power fails: as for `pull`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..copying.progress import Progress
from ..host.linked import Store
from ..media import checksums
from ..media.listing import SYNAPSES_OWN, rebuilt
from ..media.walk import file_at
from ..model.errors import Problem
from ..model.items import Entry
from ..serving.hold import Unfit
from ..state.run import Run
from . import changes
from .held import in_rounds
from .pull import fetch
from .told import Told
from .window import Clock, check_of

if TYPE_CHECKING:
    from ..media.equality import Manifest
    from ..model.ports import Heard
    from ..serving.write_cache import Cache

#: Rounds of fetching while services are stopped.
ROUNDS = 3


@dataclass
class Arrivals(Told):
    """These are what came to the bucket since `pull` listed it; `heard` must have heard since before that."""

    run: Run
    #: None where nobody tells what is written.
    heard: Heard | None
    #: The names at the top of the store.
    tops: frozenset[str]
    #: Names that somebody told of, and that are not the same here yet.
    open: set[str] = field(default_factory=set)
    caches: Sequence[Cache] = ()
    waiting: set[str] = field(default_factory=set)
    #: Whether files were moved into place whose names may not be on disk yet.
    unsynced: bool = True

    @classmethod
    def since_listing(cls, run: Run, heard: Heard | None, caches: Sequence[Cache] = ()) -> Arrivals:
        """Return what comes from now on, after the local copy was compared with a listing."""
        with run.server.manifest() as manifest:
            tops = {*SYNAPSES_OWN, *manifest.tops()} - {*rebuilt(run.settings.copy.exclude)}
        return cls(run, heard, frozenset(tops), caches=caches)

    def catch_up_at_leisure(self) -> None:
        """Bring home all that came since the listing began, before any window: that may be hours ago.

        Where the kernel lost what it had to tell, nobody hears from then on.
        """
        with contextlib.suppress(Unfit):
            in_rounds(self.catch_up)
        self.sync()

    def sync(self) -> None:
        """Return once all files that came home have their names on disk."""
        if self.unsynced:
            self.run.system.sync()
            self.unsynced = False

    def catch_up(self, clock: Clock | None = None) -> int:
        """Bring home what came by now, while services still write, and return how much that was.

        What does not arrive is left to the window. Raises `Unfit` where the kernel lost what it had to tell.
        """
        return self._round(clock)

    def in_window(self, clock: Clock, *, few: bool = False) -> int:
        """Bring home what came last, while nobody writes, and return how many files that was.

        Raises `Problem` where one is not the same here then, `Unfit` where the kernel lost what it had to tell, and
        with `few`, changes.TooMuch where there is more to fetch than that.
        """
        fetched = self._round(clock, few=few)
        for _ in range(0 if few else ROUNDS - 1):
            if self.open:
                fetched += self._round(clock)
        self.open |= self.waiting
        if self.open:
            raise Problem(
                f"{len(self.open):,} objects that came last did not arrive whole, {min(self.open)!r} among them",
                "see journalctl -u matrix-media-store-converge on the server; the bucket serves on",
            )
        return fetched

    def _round(self, clock: Clock | None, few: bool = False) -> int:
        run, root, names = self.run, self.run.server.backup_path, self.hear(few)
        if not names:
            return 0
        # A manifest of their own: asking the whole one takes the longer the larger the store.
        with run.server.manifest() as manifest, run.server.manifest_in_memory() as late, Store.at(root) as copy:
            late.load_local(_files(copy, names))
            late.add_checksums(manifest.checksums([*late.all_local()]))
            checksums.ask(late, run.bucket, names, check_of(clock))
            few_of_all = changes.are_few([*late.remote(names)])
            if few and not few_of_all:
                raise changes.TooMuch
            wanted = self._wanted(late)
            if wanted:
                manifest.add_sent(wanted)
                self.unsynced |= not few_of_all
                progress = Progress(len(wanted), late.remote_bytes(wanted))
                fetch(run, late, root, wanted, progress, clock, one_by_one=few_of_all)
                late.load_local(_files(copy, names))
            self.open = {*self._wanted(late)}
            late.mark_equal()
            manifest.merge_from(late)
        return len(wanted)

    def _wanted(self, late: Manifest) -> list[str]:
        checksums.settle(late, self.run.bucket, self.run.server.backup_path)
        return late.missing_locally() + late.different()


def _files(copy: Store, names: list[str]) -> Iterator[Entry]:
    for name in names:
        yield from file_at(copy, name)
