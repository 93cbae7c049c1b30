"""This module is a window without a stop: services stand still for a moment while one side takes the other's place.

What is true if the power fails: as for `window`; nothing stands still after a boot. What is true if this process is
killed: recovery runs, and lets the services go as soon as a side serves, see `serving.hold`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..model.errors import Problem
from ..model.phases import Window
from ..serving import hold, writers
from ..serving.hold import Held, Unfit
from ..state.run import Run
from . import recovery
from .window import Clock, prepare

#: Seconds that the last files may take while services stand still, and for which their store may be silent.
WORK_SECONDS, SILENT_SECONDS = 2, 2.0
#: Seconds for which a moment is waited for in which nobody writes, and between two tries.
TRYING_SECONDS, PAUSE_SECONDS = 30.0, 0.1


def hold_still(run: Run, name: Window, before: Callable[[], None], swap: Callable[[Held, Clock], bool]) -> Clock:
    """Have all stand still that writes; `swap` moves the sides and ends with the journal's `commit`; return the times.

    `before` is called before each try, while services run. Where `swap` returns False, it is not the moment: nothing
    was moved, and it is tried again. Whatever fails is undone, and the services go on; the error is raised. Raises
    `Unfit` where they cannot be held.
    """
    prepare(run, name)
    units = writers.required(run.server)
    try:
        run.journal.open(name, units)
        run.say(f"{name}: holding {', '.join(units)} for a moment; none is stopped")
        deadline = time.monotonic() + TRYING_SECONDS
        while True:
            before()
            clock = _try(run, units, swap)
            if clock:
                return clock
            if time.monotonic() >= deadline:
                files = writers.open_files(run.server)
                raise Unfit(f"there is no moment in which nobody writes to the media store ({(files or ['?'])[0]})")
            run.system.pause(PAUSE_SECONDS)
    except BaseException:
        run.bucket.set_patience()
        recovery.recover(run)
        raise


def _try(run: Run, units: list[str], swap: Callable[[Held, Clock], bool]) -> Clock | None:
    """Hold once; return the times where the sides were moved, else None. What is raised leaves all standing still."""
    server = run.server
    held = hold.look(server, units)
    run.bucket.set_patience(1, SILENT_SECONDS)
    clock = Clock(WORK_SECONDS)
    if not hold.take(server, held):
        return None
    clock.start()
    moved = not hold.came_since(server, held) and not writers.open_files(server) and swap(held, clock)
    hold.let_go(server)
    clock.held = clock.work.seconds
    run.bucket.set_patience()
    return clock if moved else None


def in_time(run: Run, what: str, action: Callable[[], None], clock: Clock) -> None:
    """Do something with the rights of the store's owner, in the time that is left. Raises `Problem` where it fails."""
    owner = run.journal.owner
    left = max(0.1, (clock.deadline or 0) - time.monotonic())
    try:
        run.system.as_user(owner.uid, owner.gid, action, left)
    except OSError as error:
        fix = "nothing was moved, and the services ran on; is the store slow? Then run pulumi up again"
        raise Problem(f"{what}: {error}", fix) from None
