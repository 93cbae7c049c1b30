"""This module waits for what the cache in front of the bucket owes it, before the bucket is left or mounted anew.

What was answered and is not in the bucket yet lies on the server's disk alone, see `serving.write_cache`. So no window
goes on before it is up: at leisure first, while services run, and for what came last while they stand still or are
stopped.

What is true if the power fails: the files are on the disk, and the mount takes them up again at its next start.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..copying.progress import Progress
from ..media import names as media_names
from ..media.listing import SYNAPSES_OWN
from ..model.errors import CommandFailed, Problem
from ..model.items import Entry
from ..model.phases import Window
from ..serving import remote_control, write_cache
from ..serving.hold import Unfit
from ..serving.write_cache import Cache
from ..state.records import Owner
from ..state.run import Run

if TYPE_CHECKING:
    from ..model.ports import Heard

#: Whom a cache belongs to.
ROOT = Owner(0, 0)
#: Windows at whose beginning our mount of the bucket serves.
LEAVES = (Window.RESTORE, Window.REMOUNT, Window.MOVE)
#: Seconds without progress after which uploads are taken for stuck, between two looks, and between two lines.
STUCK_SECONDS, LOOK_SECONDS, SAY_SECONDS = 60.0, 0.2, 10.0
#: What was written in so many last seconds may be left to a window: somebody uploads all the time.
ENOUGH_SECONDS = 5.0
#: Seconds for what came last, with services stopped.
LAST_SECONDS = 30.0
#: Seconds for them at most while services stand still, and between two looks then.
STILL_SECONDS, SOON_SECONDS = 0.8, 0.01


def owed(caches: Sequence[Cache], names: set[str] | None = None) -> set[str]:
    """Return which files the bucket does not have as a cache has them: of `names`, or of all."""
    if names is None:
        return {name for cache in caches for name in cache.owed()}
    return {name for name in names if any(cache.owes(name) for cache in caches)}


def ready(run: Run) -> list[Cache]:
    """Return the caches that our mount uses, after what others owe was brought into the bucket.

    A mount that was replaced as the power failed left such a one: no program works on it any more, so nobody may wait
    for it.
    """
    used = write_cache.used(run.server)
    for cache in write_cache.known(run.server):
        if cache not in used and cache.is_of(run.settings.store):
            _bring_up(run, cache)
    return used


def wait(run: Run, caches: Sequence[Cache]) -> set[str]:
    """Return once what a cache owes now is in the bucket, but for what is being written, and the names of that.

    Services run. Raises `Problem` where it does not get up.
    """
    began = told = progressed = time.monotonic()
    left = owed(caches)
    while left:
        now, before = time.monotonic(), len(left)
        if now - began > ENOUGH_SECONDS and all(_is_being_written(caches, name) for name in left):
            break
        if now - progressed > STUCK_SECONDS:
            raise stuck(run, left)
        if now - told > SAY_SECONDS:
            told = now
            run.say(f"{len(left):,} uploads are on this server's disk alone: waiting until they are in the bucket")
        run.system.pause(LOOK_SECONDS)
        left = owed(caches, left)
        progressed = now if len(left) < before else progressed
    return left


def _is_being_written(caches: Sequence[Cache], name: str) -> bool:
    """Return whether somebody uploads that file right now, slowly: a window sees its end."""
    written = max((cache.written(name) for cache in caches), default=0.0)
    return time.time() - written < ENOUGH_SECONDS


def stuck(run: Run, names: set[str]) -> Problem:
    """Return the `Problem` of uploads that do not get up."""
    queue = remote_control.queue(run.layout.remote_control)
    failed = f", {queue.failing:,} of them failed again and again" if queue and queue.failing else ""
    return Problem(
        f"{len(names):,} uploads are on this server's disk alone and do not get into the bucket{failed}, "
        f"{min(names)!r} first",
        "nothing was moved; see journalctl -u matrix-media-store on the server (a full bucket, a refused key, a store "
        "that is away), and run pulumi up once they are up",
    )


def all_up(run: Run, caches: Sequence[Cache]) -> None:
    """Return once all is in the bucket that a cache owed, with services stopped.

    Raises `Problem` after LAST_SECONDS: what could not get up before was waited for while services ran.
    """
    left = owed(caches)
    if left and not run.system.wait_until(lambda: not owed(caches, left), LAST_SECONDS, every=SOON_SECONDS):
        raise stuck(run, owed(caches, left))


def of_window(run: Run, name: Window) -> list[Cache]:
    """Return the caches that a window must wait for; none where our mount does not serve at its beginning."""
    return ready(run) if name in LEAVES else []


@dataclass
class Pending:
    """A `Pending` knows what the caches owe while services are held: what is written through the mount is heard."""

    run: Run
    caches: Sequence[Cache]
    heard: Heard | None
    #: Names that were owed when last looked at.
    open: set[str]

    def why_not(self) -> str:
        """Return why the bucket must not be left now, while all stand still; the text is empty where it may.

        Raises `Unfit` where the kernel lost what it had to tell.
        """
        if not self.caches:
            return ""
        told = self.heard.take() if self.heard else None
        if told is None:
            raise Unfit(
                "the kernel does not tell what is written through the mount, whose cache may owe it to the bucket"
            )
        self.open |= media_names.told(told, self._tops())
        self.run.system.wait_until(self._are_up, STILL_SECONDS, every=SOON_SECONDS)
        return f"{len(self.open):,} uploads are on this server's disk alone" if self.open else ""

    def _are_up(self) -> bool:
        self.open = owed(self.caches, self.open)
        return not self.open

    def _tops(self) -> set[str]:
        return {*SYNAPSES_OWN, *(top for cache in self.caches for top in cache.tops())}


@contextlib.contextmanager
def watched(run: Run, name: Window) -> Iterator[Pending]:
    """Give what knows of the caches from here on, once nearly all that they owe is up; without one, of nothing.

    Raises `Problem` where it does not get up: that keeps a window from opening.
    """
    caches = of_window(run, name)
    with run.hear(run.server.store_path) if caches else contextlib.nullcontext() as heard:
        yield Pending(run, caches, heard, wait(run, caches))


def _bring_up(run: Run, cache: Cache) -> None:
    """Copy what a cache alone has into its bucket; what is there with other content stays as it is, here and there."""
    sizes = dict(cache.sizes(cache.owed()))
    alone = {name: size for name, size in sizes.items() if run.bucket.head(name) is None}
    if alone:
        run.say(f"{len(alone):,} uploads are in a cache alone that no mount uses: bringing them into the bucket")
        entries = [Entry(name, size, 0, 0, 0) for name, size in alone.items()]
        with contextlib.suppress(CommandFailed):  # what did not arrive stays where it is
            run.copier.upload(cache.content, entries, ROOT, Progress(len(entries), sum(alone.values())), "rclone", None)
    for name in sizes:
        if run.bucket.head(name) and run.bucket.md5(name) == cache.md5(name):
            cache.forget(name)


def remove_caches(run: Run, keep: Cache | None = None) -> None:
    """Remove all caches but one, which no mount uses any more.

    One that owes the bucket something is of a mount that was replaced while the power failed: that is brought there
    first. What cannot be stays, and is named.
    """
    for cache in write_cache.known(run.server):
        if cache != keep and cache.is_of(run.settings.store):
            _bring_up(run, cache)
    if left := write_cache.remove_unused(run.server, keep):
        run.say(
            f"{len(left):,} uploads are in a cache that no mount uses any more, and not in the bucket, {min(left)!r} "
            f"first: they lie below {run.settings.mount.cache_folder}"
        )
