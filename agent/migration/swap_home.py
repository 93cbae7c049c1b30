"""This module does the work of the way home's window: the last uploads, the mount goes, the local copy takes its place.

There are two ways. Services are stopped, and the mount ends. Or they are held: the mount is taken away beneath them and
lives on for whoever reads from it, until nobody does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..host.beneath import Folder
from ..model.phases import Owed, Phase, Side, Stage, Window
from ..serving import hold, mount, writers
from ..state import local_copy
from ..state.run import Run
from ..store.bucket import STORE_TROUBLE
from . import recovery
from .held import ROUND_SECONDS, held_or_stopped, hold_still, in_rounds, not_the_moment
from .homeward import Arrivals
from .pull import pull
from .window import Clock, Late, window

if TYPE_CHECKING:
    from ..model.protocol import Counts


def swap_home(run: Run, arrivals: Arrivals, start: Sequence[str] | None) -> Clock:
    """Let the local copy take the place of the bucket, and return the times.

    `start` names units that are started in any case, after a cutover that failed: nobody is held then. Raises `Problem`
    where that fails; the bucket serves then.
    """
    if start is not None or not writers.running(run.server):
        return _stopped(run, arrivals, start or ())
    unheard = "" if arrivals.heard else "the kernel does not tell what is written through the mount"
    return held_or_stopped(
        run, Window.RESTORE, hold.why_not(run.server) or unheard,
        lambda: _held(run, arrivals), lambda: _stopped(run, arrivals, ()),
    )  # fmt: skip


def _stopped(run: Run, arrivals: Arrivals, start: Sequence[str]) -> Clock:
    journal, backup = run.journal, run.server.backup_path
    with window(run, Window.RESTORE, start) as clock:
        fetched, owed = _last(run, arrivals, clock)
        run.system.sync()
        writers.check_none_writes(run.server)
        with Folder.at(backup) as copy:
            local_copy.mark(journal, copy)
        journal.owed |= owed
        journal.advance(Stage.SWAPPING)
        recovery.bring_local_copy_home(run)
        journal.commit(Side.LOCAL, Phase.MIRROR, owed, _counts(clock, fetched))
    return clock


def _last(run: Run, arrivals: Arrivals, clock: Clock) -> tuple[int, set[Owed]]:
    """Bring home what came last; return how many files, and whether a listing is owed that shows that it was all."""
    with contextlib.suppress(hold.Unfit):
        clock.start()
        return arrivals.in_window(clock), {Owed.LISTING}
    clock.deadline = None
    return pull(run, run.server.backup_path, clock), set()


def _counts(clock: Clock, fetched: int) -> Counts:
    return {"window_seconds": clock.work.seconds, "window_files": fetched}


@dataclass
class _Hold:
    """This class holds the services and swaps."""

    run: Run
    arrivals: Arrivals
    fetched: int = 0

    def before(self) -> None:
        """See that our mount does not come up again by itself, and bring home what came by now; services run."""
        mount.disable_final(self.run.server)
        clock = Clock(ROUND_SECONDS)
        clock.start()
        with contextlib.suppress(Late, *STORE_TROUBLE):  # what did not arrive is fetched while services stand still
            in_rounds(lambda: self._round(clock))
        self.arrivals.sync()

    def _round(self, clock: Clock) -> int:
        came = self.arrivals.catch_up(clock)
        self.fetched += came
        return came

    def swap(self, held: hold.Held, clock: Clock) -> str:
        """Bring home what came last, and move the sides; return why it is not the moment, if it is not."""
        run, server, journal = self.run, self.run.server, self.run.journal
        if why_not := not_the_moment(lambda: self._last(clock)):
            return why_not
        hold.check_still(server, held)
        mount.take_beside(server)
        hold.check_inside(server, held)
        journal.owed.add(Owed.LISTING)
        journal.advance(Stage.SWAPPING)
        recovery.lay_home(run)
        journal.commit(Side.LOCAL, Phase.MIRROR, {Owed.LISTING}, _counts(clock, self.fetched))
        return ""

    def _last(self, clock: Clock) -> None:
        self.fetched += self.arrivals.in_window(clock, few=True)


def _held(run: Run, arrivals: Arrivals) -> Clock:
    with Folder.at(run.server.backup_path) as copy:
        local_copy.mark(run.journal, copy)  # the window's beginning saves it: no try may lay another token
    work = _Hold(run, arrivals)
    clock = hold_still(run, Window.RESTORE, work.before, work.swap)
    run.say(f"restore: {work.fetched:,} files came last; services stood still for {clock.held:.2f} s, and run on")
    return clock
