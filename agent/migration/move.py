"""This module moves the media from one store to another while the bucket serves, without room for them on the disk.

They are copied and compared while people write to the bucket that is left. In a window the last files follow, and the
new bucket is mounted in its place; services are held for that where they can be.

What is true if the power fails: until the window is committed, the store that is left serves, has all, and is what
every mount starts with. The commit is one write of the journal. From then on the new store serves and has all; recovery
brings its settings and keys into use, see `state.moving`. What nobody told of is looked for afterwards in the store
that was left, and the journal owes that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..model.errors import CommandFailed, Problem
from ..model.layout import Layout
from ..model.phases import Milestone, Owed, Side, Stage, Window
from ..model.settings import merge, parse
from ..serving import hold, mount, probe, proof, write_cache, writers
from ..state import moving as state
from ..state.moving import Moving
from ..state.run import Run, Server, known_settings
from ..store import ownership
from ..store.bucket import STORE_TROUBLE
from . import pending, recovery, remount, settle_move
from . import window as window_of
from .across import Late, Stores, copy_all
from .held import ROUND_SECONDS, SILENT_SECONDS, held_or_stopped, hold_still, not_the_moment
from .window import ATTEMPTS, Clock, start_services, window
from .window import Late as TooLate

if TYPE_CHECKING:
    from ..model.protocol import Counts, Transition

#: Seconds for the mount of the new bucket to answer while services stand still.
ANSWER_SECONDS = 1.0


def stores_of(run: Run, moving: Moving) -> Stores:
    """Return the run with both stores of a move, whichever of them serves by now."""
    return Stores(_with(run, run.layout, moving.left), _with(run, run.layout.of_move, moving.to), moving.returns)


def _with(run: Run, layout: Layout, sections: dict[str, dict[str, Any]]) -> Run:
    settings = parse(merge(known_settings(run.layout), sections))
    server = Server(layout, settings, run.system, run.server.connect)
    return replace(run, server=server, copier=run.copier.to(server))


def move(run: Run, load: Callable[[], Run]) -> None:
    """Go to the store of the move that was begun, or go on with it; `load` gives a run with the settings then.

    What was interrupted was recovered by now, and `run` was made after that.

    Raises `Problem` where that fails; before the window's commit, the store that is left serves on.
    """
    moving = state.read(run.layout)
    if moving is None:
        raise Problem("no move was begun here", "run pulumi up: it begins one where the stack says so")
    if run.journal.serving is not Side.BUCKET:
        raise Problem("the media store is local", "run pulumi up: the next copy goes to the new store")
    counts: Counts = {}
    if not state.is_brought_in(run.layout, moving):
        counts = _go(stores_of(run, moving))
    run = replace(load(), started=run.started)
    _end(run, stores_of(run, moving), counts)


def end(run: Run, load: Callable[[], Run], must: bool) -> None:
    """End a move that was decided. Without `must`, a store that was left and cannot be looked at holds nobody up.

    It keeps what it has then, see `leave_store`. Raises what `move` does.
    """
    try:
        move(run, load)
    except (Problem, CommandFailed, *STORE_TROUBLE) as error:
        if must:
            raise
        run.say(f"move: the earlier store was not looked at once more, and keeps what it has: {error}")


def _go(stores: Stores) -> Counts:
    run, there = stores.here, stores.there
    left, to = run.settings.store, there.settings.store
    run.say(f"move: from {left.path} at {left.endpoint} to {to.path} at {to.endpoint}; services run on")
    run.reached(Milestone.EDGE_BEGUN, Window.MOVE)
    with run.hear(run.server.store_path) as heard:
        caches = pending.ready(run)
        owed = pending.wait(run, caches)  # of these, the listing may know nothing
        counts = copy_all(stores)
        there.copier.prepare()
        late = Late(stores, heard, stores.tops(), owed, caches)
        with contextlib.suppress(hold.Unfit):
            late.at_leisure()
        run.reached(Milestone.WINDOW_READY, Window.MOVE)
        clock = _swap(stores, late)
    return {**counts, **clock.stopped(), "window_seconds": clock.work.seconds, "window_files": late.came}


def _swap(stores: Stores, late: Late) -> Clock:
    run = stores.here
    if not writers.running(run.server):
        return _stopped(stores, late)
    unheard = "" if late.heard else "the kernel does not tell what is written through the mount"
    return held_or_stopped(
        run, Window.MOVE, hold.why_not(run.server) or unheard,
        lambda: _held(stores, late), lambda: _stopped(stores, late),
    )  # fmt: skip


def _check_ours(stores: Stores) -> None:
    """Raise `Problem` where the new bucket is not this server's any more."""
    found, to = state.read(stores.here.layout), stores.there
    ownership.check_serves(to.bucket, to.server.ids, to.settings.store.bucket, found.epoch if found else 0)


def _commit(run: Run) -> None:
    """Write that the new store serves; from here on, whoever goes on makes it so."""
    journal = run.journal
    journal.commit(Side.BUCKET, journal.phase, journal.owed | {Owed.LEFT, Owed.REMOUNT})


@contextlib.contextmanager
def _patience(stores: Stores, attempts: int, seconds: float) -> Iterator[None]:
    """Have the new store be waited for no longer than the one that is left, whose patience the window sets."""
    stores.there.bucket.set_patience(attempts, seconds)
    try:
        yield
    finally:
        stores.there.bucket.set_patience()


def _held(stores: Stores, late: Late) -> Clock:
    run, server, owner = stores.here, stores.here.server, stores.here.journal.owner
    mount.stop_staging(server)
    mount.start_staging(server, owner)  # its unit has the new store's keys; that is shown before anything rests on it
    proof.write_probe(run.system, stores.there.bucket, owner, run.layout.staging)

    def before() -> None:
        clock = Clock(ROUND_SECONDS)
        clock.start()
        with contextlib.suppress(TooLate):
            late.at_leisure(clock)

    def last(clock: Clock) -> None:
        _check_ours(stores)
        late.in_window(clock, few=True)
        if dead := probe.why_dead(run.system, owner, run.layout.staging, ANSWER_SECONDS):
            raise Problem(f"the mount of the new store does not answer: {dead}", "look at its unit's journal")

    def swap(held: hold.Held, clock: Clock) -> str:
        with _patience(stores, 1, SILENT_SECONDS):
            if why_not := not_the_moment(lambda: last(clock)):
                return why_not
        hold.check_still(server, held)
        run.journal.advance(Stage.SWAPPING)  # whoever lets services go now takes away first what is mounted there
        mount.show_staging(server, lambda: hold.check_inside(server, held))
        _commit(run)
        return ""

    clock = hold_still(run, Window.MOVE, before, swap)
    recovery.go_to_new_store(run)
    start_services(run)
    run.say(f"move: {late.came:,} files came last; services stood still for {clock.held:.2f} s, and run on")
    return clock


def _stopped(stores: Stores, late: Late) -> Clock:
    run = stores.here
    mount.stop_staging(run.server)
    with window(run, Window.MOVE) as clock:
        units = run.journal.units
        with _patience(stores, ATTEMPTS, window_of.SILENT_SECONDS):
            with contextlib.suppress(hold.Unfit):
                clock.start()
                late.in_window(clock)
            if late.heard is None:
                clock.deadline = None
                copy_all(stores, clock)
            _check_ours(stores)
        writers.check_none_writes(run.server)
        run.journal.advance(Stage.SWAPPING)
        recovery.end_mount(run)
        _commit(run)
        recovery.go_to_new_store(run)
    recovery.recover(run)
    if units:
        run.homeserver.wait()
        run.say(f"move: the homeserver answers after {clock.down.seconds:.1f} s")
    return clock


def _end(run: Run, stores: Stores, counts: Counts) -> None:
    """Have our own mount serve from the new store, prove it, and look once more at what was left."""
    journal = run.journal
    if Owed.REMOUNT in journal.owed:
        if run.system.shows_same(run.layout.staging, run.server.store_path):
            remount.take_place_of_staging(run)
        mount.stop_staging(run.server)
        journal.owed.discard(Owed.REMOUNT)
        journal.save()
    pending.remove_caches(run, write_cache.wanted(run.server))
    run.reached(Milestone.SERVING_AGAIN, Window.MOVE)
    numbers: Counts = {**journal.last, **counts}
    try:
        run.homeserver.wait()
        numbers["proof"] = proof.prove(stores.there.server, journal.owner, run.homeserver)
    except Problem as problem:
        raise Problem(
            f"the store {run.settings.store.path} serves, and that is not proven: {problem.what}",
            f"{problem.fix}; then run pulumi up again",
        ) from None
    settle_move.settle(run, stores)
    journal.last = numbers
    journal.remember(_transition(run, numbers))
    journal.save()


def _transition(run: Run, numbers: Counts) -> Transition:
    seconds = round(time.time() - run.started, 1)
    told: Transition = {"to": run.journal.phase, "began": round(run.started), "seconds": seconds, **numbers}
    return {"from": run.journal.phase, "store": run.settings.store.path, **told}  # type: ignore[typeddict-unknown-key]
