"""This module does the work of a cutover's window: the last files, the renames, the mount, the commit.

There are two ways. Services are stopped, and the mount comes up meanwhile. Or they are held: the mount comes up beside
the local store while they run, and they stand still for the rest alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..host.linked import Store
from ..model.errors import Problem
from ..model.phases import Owed, Phase, Side, Stage, Window
from ..serving import disk, hold, mount, playbook, probe, writers
from ..state import local_copy
from ..state.run import Run
from . import changes
from .aside import parent_of_store
from .held import ROUND_SECONDS, held_or_stopped, hold_still, in_rounds, in_time, not_the_moment
from .window import Clock, Late, window

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Seconds for the mount to answer while services stand still.
ANSWER_SECONDS = 1.0


def swap(run: Run, known: changes.Baseline, counts: Counts) -> Clock:
    """Let the bucket take the place of the local store, and return the times; `counts` go into the journal too.

    Raises `Problem` where that fails; the local store serves then.
    """
    unheard = "" if known.changed else "the kernel does not tell what changes in the media store"
    return held_or_stopped(
        run, Window.CUTOVER, hold.why_not(run.server) or unheard,
        lambda: _held(run, known, counts), lambda: _stopped(run, known, counts),
    )  # fmt: skip


def _stopped(run: Run, known: changes.Baseline, counts: Counts) -> Clock:
    server, journal = run.server, run.journal
    with window(run, Window.CUTOVER) as clock:
        clock.start()
        found = changes.in_window(run, known, clock)
        writers.check_none_writes(server)
        journal.advance(Stage.SWAPPING)
        _move_aside(run)
        playbook.choose(server)
        mount.start_final(server, journal.owner)
        _commit(run, found, clock, counts)
    run.say(f"cutover: {found.changed:,} files in the window, {clock.work.seconds:.1f} s; starting the services")
    return clock


@dataclass
class _Hold:
    """This class holds the services and swaps; `known` is what is equal by now."""

    run: Run
    known: changes.Baseline
    counts: Counts
    found: changes.Found | None = None

    def catch_up(self) -> None:
        """Bring over what came by now, while services run and no window is open."""
        in_rounds(lambda: self._round(None))

    def before(self) -> None:
        """Bring the mount up beside the local store, and bring over what came meanwhile."""
        run = self.run
        if not run.system.mounted(run.layout.mounting):
            mount.start_beside(run.server, run.journal.owner)
        clock = Clock(ROUND_SECONDS)
        clock.start()
        with contextlib.suppress(Late):  # what did not arrive is found while services stand still
            in_rounds(lambda: self._round(clock))

    def _round(self, clock: Clock | None) -> int:
        came, self.known = changes.catch_up(self.run, self.known, clock)
        if self.known.changed is None:
            lost = "the kernel told no more what changes in the media store"
            raise hold.Unfit(f"{lost}, or a file there got another name (a hard link), by which it tells nothing")
        return came

    def swap(self, held: hold.Held, clock: Clock) -> str:
        """Bring over what came last, and move the sides; return why it is not the moment, if it is not."""
        run, server, journal = self.run, self.run.server, self.run.journal
        if why_not := not_the_moment(lambda: self._last(clock)):
            return why_not
        hold.check_still(server, held)
        journal.advance(Stage.SWAPPING)
        _move_aside(run)
        mount.bring(server)
        hold.check_inside(server, held)
        assert self.found
        _commit(run, self.found, clock, self.counts)
        return ""

    def _last(self, clock: Clock) -> None:
        run = self.run
        self.found = changes.in_window(run, self.known, clock, few=True)
        with Store.at(run.server.store_path) as top:
            folders = self.known.changed.new_folders(top) if self.known.changed else []
        if folders:
            in_time(run, "new folders cannot be made in the mount", lambda: self._make(folders), clock)
        if dead := probe.why_dead(run.system, run.journal.owner, run.layout.mounting, ANSWER_SECONDS):
            raise Problem(f"the mount does not answer: {dead}", "look at its unit's journal")

    def _make(self, folders: Sequence[str]) -> None:
        def make(folder: str) -> None:
            (self.run.layout.mounting / folder).mkdir(parents=True, exist_ok=True)

        with ThreadPoolExecutor(changes.AT_ONCE) as pool:
            for _ in pool.map(make, folders):
                pass


def _held(run: Run, known: changes.Baseline, counts: Counts) -> Clock:
    work = _Hold(run, known, counts)
    work.catch_up()
    clock = hold_still(run, Window.CUTOVER, work.before, work.swap)
    mount.settle_beside(run.server)
    came = work.found.changed if work.found else 0
    run.say(f"cutover: {came:,} files came last; services stood still for {clock.held:.2f} s, and run on")
    return clock


def _commit(run: Run, found: changes.Found, clock: Clock, counts: Counts) -> None:
    journal = run.journal
    journal.stopped = journal.units
    owed = {Owed.PROOF}
    if not found.walked:
        owed.add(Owed.WALK)  # a walk misses nothing
    if found.gone:
        owed.add(Owed.PURGES)
    moved: Counts = {**counts, "window_seconds": clock.work.seconds, "window_files": found.changed}
    journal.commit(Side.BUCKET, Phase.LIVE, owed, moved)


def _move_aside(run: Run) -> None:
    """Make the store the local copy, and our mount point what has its name.

    Raises `Problem` where somebody put something else in its place just now.
    """
    store, backup = run.server.store_path, run.server.backup_path
    with parent_of_store(run.server) as parent:
        disk.move(run.server, parent, store.name, backup.name)
        if not local_copy.is_at(parent, backup.name, run.journal.local_store):
            raise Problem(
                f"{store} was replaced by something else within the window",
                "look who did that; the local store serves again",
            )
