"""This module copies the media from one bucket to another and compares them, while the first serves and people write.

What is true if the power fails: the bucket that is left is only read. What arrived in the other is listed and compared
by the next run, which copies the rest.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..copying.progress import Progress
from ..media import checksums, objects
from ..media.equality import Manifest
from ..media.listing import SYNAPSES_OWN, MediaObjects, rebuilt
from ..model.errors import CommandFailed, Problem
from ..model.items import Entry, Object
from ..state.run import Run
from ..store.bucket import STORE_TROUBLE
from . import changes, unaccounted
from .held import in_rounds
from .told import Told
from .window import Clock, check_of

if TYPE_CHECKING:
    from ..model.ports import Heard
    from ..model.protocol import Counts
    from ..serving.write_cache import Cache

#: Rounds of copying and comparing before an object that never becomes equal is an error.
ROUNDS = 4
#: Objects copied in one go, and bytes of them: names cost memory.
LOT_FILES, LOT_BYTES = 20_000, 1 << 40


@dataclass(frozen=True)
class Stores:
    """These are the same run with the store that a move leaves, `here`, and with the one it goes to, `there`.

    The manifest of `there` is the move's: its near side is the bucket that is left, see `media.objects`.
    """

    here: Run
    there: Run
    #: Whether the bucket that is gone to was this server's before.
    returns: bool = False
    #: What is not looked at on either side; None for what Synapse rebuilds and the stack leaves out.
    left_out: Sequence[str] | None = None

    @property
    def exclude(self) -> Sequence[str]:
        """Return the folders at the top of the media store that are not looked at."""
        return rebuilt(self.here.settings.copy.exclude) if self.left_out is None else self.left_out

    @property
    def is_plain(self) -> bool:
        """Return whether ETags of the bucket that is left may be MD5s: no customer's key is at it."""
        return not self.here.settings.store.sse_customer_key

    def tops(self) -> frozenset[str]:
        """Return the names at the top of the media store."""
        with self.here.server.manifest() as known, self.there.server.manifest() as manifest:
            return frozenset({*SYNAPSES_OWN, *known.tops(), *manifest.tops()})

    def list_here(self, manifest: Manifest) -> tuple[int, int]:
        """List the bucket that is left into the manifest; return how many objects are media, and their bytes."""
        found = MediaObjects(self.here.bucket, self.exclude, self.tops())
        archived: list[str] = []

        def noted() -> Iterable[Object]:
            for item in found:
                if item.archived:
                    archived.append(item.key)
                yield item

        counts = objects.load(manifest, noted(), self.is_plain)
        unaccounted.refuse_archived(archived)
        return counts

    def list_there(self, manifest: Manifest) -> None:
        """List the bucket that is gone to into the manifest."""
        manifest.load_remote(MediaObjects(self.there.bucket, self.exclude, self.tops()))

    def settle(self, manifest: Manifest) -> None:
        """Read what must be read in either bucket to say for every name whether it is equal."""
        objects.settle(manifest, self.here.bucket, self.there.bucket)

    def send(self, wanted: Sequence[Object], progress: Progress, clock: Clock | None, one_by_one: bool = False) -> None:
        """Copy these objects. Raises CommandFailed where not all arrived; with `one_by_one` they are few."""
        if one_by_one:
            with ThreadPoolExecutor(changes.AT_ONCE) as pool:
                list(pool.map(lambda item: self._send_one(item, check_of(clock)), wanted))
            return
        deadline = clock.deadline if clock else None
        self.there.copier.across(self.here.settings.store, wanted, self.here.journal.owner, progress, deadline)

    def _send_one(self, item: Object, check: Callable[[], None]) -> None:
        check()
        body = self.here.bucket.get(item.key)
        if body is not None:  # else it is deleted by now
            self.there.bucket.put_medium(item.key, body)


def copy_all(stores: Stores, clock: Clock | None = None) -> Counts:
    """Copy all media and compare them, and repeat until all is equal; return the numbers.

    Without a clock, people upload all the time: what came in the last round is left to the window, in which nothing may
    be missing. Raises `Problem` where an object does not become equal.
    """
    run, tries, copied, copied_bytes = stores.here, Counter[Object](), 0, 0
    with stores.there.server.manifest() as manifest:
        for turn in range(1, ROUNDS + 1):
            files, size = stores.list_here(manifest)
            stores.list_there(manifest)
            if clock and turn == 1:
                clock.start()  # the listing of a large bucket is no fault of the store
            stores.settle(manifest)
            if turn > 1:  # an ETag of the bucket that is left may be no MD5 after all
                objects.read_again(manifest, run.bucket, manifest.different())
                stores.settle(manifest)
            wrong, amount = manifest.find_unequal()
            if not wrong:
                break
            if turn == ROUNDS:
                _refuse_stuck(manifest, tries, bool(clock))
                break
            run.say(f"move: {wrong:,} files, {amount / 1e6:,.1f} MB to copy of {files:,}, {size / 1e6:,.1f} MB")
            progress = Progress(wrong, amount)
            for lot in manifest.unequal(LOT_FILES, LOT_BYTES):
                wanted = [_object(entry) for entry in lot]
                manifest.add_sent(item.key for item in wanted)
                if turn > 1:  # the first round may be of a million
                    tries.update(wanted)
                try:
                    stores.send(wanted, progress, clock)
                except CommandFailed as error:
                    run.say(f"move: {' '.join(str(error).split())[:500]} -- comparing what arrived")
                    for bucket in (run.bucket, stores.there.bucket):
                        next(bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
            copied, copied_bytes = copied + wrong, copied_bytes + amount
        if stores.returns:  # what was purged since then is found by that, see `settle_move`
            manifest.add_sent(manifest.missing_locally())
        manifest.mark_equal()
        known, known_bytes = manifest.known()
    run.say(f"move: {known:,} files, {known_bytes / 1e6:,.1f} MB are in both buckets and equal")
    return {"files": known, "bytes": known_bytes, "copied": copied, "copied_bytes": copied_bytes}


def _object(entry: Entry) -> Object:
    return Object(entry.path, entry.size, str(entry.inode))


def _refuse_stuck(manifest: Manifest, tries: Counter[Object], is_last: bool) -> None:
    wrong = [each for lot in manifest.unequal(LOT_FILES, LOT_BYTES) for each in lot]
    stuck = [each.path for each in wrong if is_last or tries[_object(each)] == ROUNDS - 2]
    if stuck:
        raise Problem(
            f"{len(stuck):,} files are not equal in the new bucket after {ROUNDS - 1} copies, {stuck[0]!r} among them",
            "see journalctl -u matrix-media-store-converge on the server; the earlier store serves on",
        )


@dataclass
class Late(Told):
    """These are what came to the bucket that is left since `copy_all` listed it; `heard` heard since before that."""

    stores: Stores
    #: None where nobody tells what is written.
    heard: Heard | None
    tops: frozenset[str]
    #: Names that somebody told of, and that are not equal in both buckets yet.
    open: set[str] = field(default_factory=set)
    caches: Sequence[Cache] = ()
    waiting: set[str] = field(default_factory=set)
    #: How many files came so far.
    came: int = 0

    def at_leisure(self, clock: Clock | None = None) -> None:
        """Copy what came by now, while services still write. What does not arrive is left to the window.

        Raises `Unfit` where the kernel lost what it had to tell.
        """
        with contextlib.suppress(*STORE_TROUBLE):
            in_rounds(lambda: self._round(clock))

    def in_window(self, clock: Clock, *, few: bool = False) -> None:
        """Copy what came last, while nobody writes.

        Raises `Problem` where something is not equal then, `Unfit` where the kernel lost what it had to tell, and with
        `few`, changes.TooMuch where there is more to copy than that.
        """
        self._round(clock, few=few)
        for _ in range(0 if few else ROUNDS - 2):
            if self.open:
                self._round(clock)
        self.open |= self.waiting
        if self.open:
            raise Problem(
                f"{len(self.open):,} files that came last are not equal in both buckets, {min(self.open)!r} first",
                "see journalctl -u matrix-media-store-converge on the server; the earlier store serves on",
            )

    def _round(self, clock: Clock | None, few: bool = False) -> int:
        stores, names = self.stores, self.hear(few)
        if not names:
            return 0
        # A manifest of their own: asking the whole one takes the longer the larger the store.
        with stores.there.server.manifest() as manifest, stores.there.server.manifest_in_memory() as late:
            wanted = self._look(late, names, clock)
            few_of_all = changes.are_few(wanted)
            if few and not few_of_all:
                raise changes.TooMuch
            if wanted:
                manifest.add_sent(item.key for item in wanted)
                progress = Progress(len(wanted), sum(item.size for item in wanted))
                with contextlib.suppress(CommandFailed):
                    stores.send(wanted, progress, clock, one_by_one=few_of_all)
                self.came += len(wanted)
                self._look(late, names, clock)
            self.open = {*late.missing_remotely(), *late.different()}
            late.mark_equal()
            manifest.merge_from(late)
        return len(wanted)

    def _look(self, late: Manifest, names: list[str], clock: Clock | None) -> list[Object]:
        """Ask both buckets for these names, and return the objects that are not equal in both."""
        stores, check = self.stores, check_of(clock)
        found = [item for item in checksums.heads(stores.here.bucket, names, check) if item]
        objects.load(late, found, stores.is_plain)
        checksums.ask(late, stores.there.bucket, names, check)
        stores.settle(late)
        wrong = late.different()
        if wrong:
            objects.read_again(late, stores.here.bucket, wrong)
            stores.settle(late)
        wrong = late.missing_remotely() + late.different()
        return [_object(entry) for entry in late.local(wrong)]
