"""This module is a window without a stop: services stand still for a moment while one side takes the other's place.

What is true if the power fails: as for `window`; nothing stands still after a boot. What is true if this process is
killed: recovery runs, and lets the services go as soon as a side serves, see `serving.hold`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..model.errors import CommandFailed, Problem
from ..model.phases import Window
from ..serving import hold, writers
from ..serving.hold import Held, Unfit
from ..state.run import Run
from ..store.bucket import STORE_TROUBLE
from . import recovery
from .changes import TooMuch
from .pending import Pending, watched
from .window import Clock, prepare

#: Seconds that the last files may take while services stand still, and for which their store may be silent.
WORK_SECONDS, SILENT_SECONDS = 2, 2.0
#: Seconds for which a moment is waited for in which nobody writes, for which services may stand still in all tries
#: together, and between two tries.
TRYING_SECONDS, STILL_SECONDS, PAUSE_SECONDS = 30.0, 3.0, 0.2
#: Files that come during a round before it is the moment for a window, rounds after which it is in any case, and
#: seconds for them before each try.
FEW, ROUNDS, ROUND_SECONDS = 2, 8, 10


def in_rounds(catch_up: Callable[[], int]) -> None:
    """Bring over what came late in shorter and shorter rounds; `catch_up` returns how many files one brought over."""
    for _ in range(ROUNDS):
        if catch_up() <= FEW:
            return


def held_or_stopped(
    run: Run, name: Window, why_not: str, held: Callable[[], Clock], stopped: Callable[[], Clock]
) -> Clock:
    """Do the work of a window in the one or the other way, as cutover.method says, and return its times.

    `why_not` says why services cannot be held, if they cannot. Raises `Unfit` where they must not be stopped then.
    """
    method = run.settings.cutover.method
    if method != "restart":
        if not why_not:
            try:
                return held()
            except Unfit as unfit:
                why_not = unfit.what
        if method == "hold":
            raise Unfit(f"the services cannot be held: {why_not}")
        run.say(f"{name}: the services are stopped, since they cannot be held: {why_not}")
    return stopped()


def hold_still(run: Run, name: Window, before: Callable[[], None], swap: Callable[[Held, Clock], str]) -> Clock:
    """Have all stand still that writes; `swap` moves the sides and ends with the journal's `commit`; return the times.

    `before` is called before each try, while services run. Where `swap` returns why it is not the moment, nothing was
    moved, and it is tried again. Whatever fails is undone, and the services go on; the error is raised. Raises
    `Unfit` where they cannot be held.
    """
    prepare(run, name)
    server, journal = run.server, run.journal
    units = writers.running(server)
    if not units:  # somebody stopped them just now
        raise Unfit("no service runs that writes media")
    with watched(run, name) as cache:
        try:
            journal.open(name, units)
            units = writers.running(server)  # what came just before had passed its guard
            journal.add_units(units, dearly=False)
            run.say(f"{name}: holding {', '.join(units)} for a moment; none is stopped")
            return _in_tries(run, units, cache, before, swap)
        except BaseException:
            run.bucket.set_patience()
            recovery.recover(run)
            raise


def _in_tries(
    run: Run, units: list[str], cache: Pending, before: Callable[[], None], swap: Callable[[Held, Clock], str]
) -> Clock:
    deadline, still = time.monotonic() + TRYING_SECONDS, 0.0
    while True:
        before()
        clock, why_not = _try(run, units, cache, swap)
        if not why_not:
            return clock
        still += clock.held or 0
        if time.monotonic() >= deadline or still >= STILL_SECONDS:
            raise Unfit(f"it was never the moment: {why_not}")
        run.system.pause(PAUSE_SECONDS)


def _try(run: Run, units: list[str], cache: Pending, swap: Callable[[Held, Clock], str]) -> tuple[Clock, str]:
    """Hold once; return the times, and why the sides were not moved, if they were not.

    What is raised leaves all standing still.
    """
    server = run.server
    held = hold.look(server, units)
    run.bucket.set_patience(1, SILENT_SECONDS)
    clock, why_not = Clock(WORK_SECONDS), "a process did not stand still"
    if hold.take(server, held):
        if hold.came_since(server, held):
            why_not = "a container came that can write to the media store"
        elif files := writers.open_files(server):
            why_not = f"a file is being written by {files[0]}"
        elif makers := server.system.making_folders(held.groups):
            why_not = f"a folder is being made by process {makers[0]}"
        elif waits := cache.why_not():
            why_not = waits
        else:
            clock.start()
            why_not = swap(held, clock)
        hold.let_go(server)
    clock.held = clock.work.seconds
    run.bucket.set_patience()
    return clock, why_not


def not_the_moment(action: Callable[[], object]) -> str:
    """Do what must be done while services stand still; return why that failed, if it did. Raises `Unfit`."""
    try:
        action()
    except TooMuch:
        return "too many files came at once"
    except Unfit:
        raise
    except Problem as problem:
        return problem.what  # its remedy is for services that are stopped
    except (CommandFailed, *STORE_TROUBLE) as error:
        return str(error)
    return ""


def in_time(run: Run, what: str, action: Callable[[], None], clock: Clock) -> None:
    """Do something with the rights of the store's owner, in the time that is left. Raises `Unfit` where it fails."""
    owner = run.journal.owner
    left = max(0.1, (clock.deadline or 0) - time.monotonic())
    try:
        run.system.as_user(owner.uid, owner.gid, action, left)
    except OSError as error:
        raise Unfit(f"{what}: {error}") from None
