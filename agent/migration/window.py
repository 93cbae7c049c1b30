"""This module is a window: services that write media stop, one side takes the place of the other, and they start again.

What is true if the power fails: the journal says how far the window is before each step, and `model.phases.AFTER_CRASH`
says what follows from it. `recovery.recover` makes it so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..model.errors import Problem
from ..model.layout import RECOVER_TIMER
from ..model.phases import Window
from ..serving import writers
from ..state.run import Run
from ..store import ownership
from . import pending, recovery

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Tries of a request to the store in a window.
ATTEMPTS = 3
#: Seconds for which the store may be silent in a window.
SILENT_SECONDS = 10.0


class Late(Problem):
    """This `Problem` says that the time for the last files is over."""


class Stopwatch:
    """A `Stopwatch` tells how many seconds ago it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds until now, to the millisecond."""
        return round(time.monotonic() - self._start, 3)


@dataclass
class Clock:
    """A `Clock` has the times of a window; `limit` is how many seconds the last files may take."""

    limit: int
    #: Runs since the services were told to stop.
    down: Stopwatch = field(default_factory=Stopwatch)
    #: Runs since they are down.
    work: Stopwatch = field(default_factory=Stopwatch)
    #: When the last files must be there, on the monotonic clock; None before `start`.
    deadline: float | None = None
    #: For how many seconds the services stood still where they were held; None where they were stopped.
    held: float | None = None

    def start(self) -> None:
        """Begin the time for copying; to be called once what takes long by itself, such as a large listing, is over."""
        self.deadline = time.monotonic() + self.limit

    def stopped(self) -> Counts:
        """Return for how long nobody was served by now: by services that were stopped, or that stood still."""
        if self.held is None:
            return {"services_stopped_seconds": self.down.seconds}
        return {"services_held_seconds": self.held}

    def check(self) -> None:
        """Raise `Problem` where the time for copying is over."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise Late(
                f"the last files did not arrive within {self.limit} s",
                "the window was given up, nothing was moved; look why the store is slow, or set "
                "migration.windowSeconds higher",
            )


def check_of(clock: Clock | None) -> Callable[[], None]:
    """Return what raises `Late` once the time is over; without a clock it never is."""
    return clock.check if clock else lambda: None


@contextmanager
def window(run: Run, name: Window, start: Sequence[str] = ()) -> Iterator[Clock]:
    """Stop all that writes; the body moves the sides and ends with the journal's `commit`.

    Whatever fails in it is finished or undone, and the services start; the error is raised. After the commit it is the
    caller's to start them, see `start_services`. `start` names units to start then even if they do not run now.
    """
    prepare(run, name)
    caches = pending.of_window(run, name)
    pending.wait(run, caches)
    run.bucket.set_patience(ATTEMPTS, SILENT_SECONDS)  # a store that does not answer must not keep the services down
    try:
        clock = Clock(run.settings.migration.window_seconds)
        _take_down(run, name, start)
        pending.all_up(run, caches)
        clock.work = Stopwatch()
        yield clock
    except BaseException:
        run.bucket.set_patience()
        recovery.recover(run)
        raise
    run.bucket.set_patience()


def prepare(run: Run, name: Window) -> None:
    """See that the bucket is this server's, and that somebody ends the window whoever is killed. Raises `Problem`."""
    if name is not Window.RESTORE:  # the way home only reads
        ownership.check_serves(run.bucket, run.server.ids, run.settings.store.bucket, run.journal.epoch)
    # Should this process be killed, and whoever recovers too, the services must not wait for ever.
    run.system.systemctl("restart", "--no-block", RECOVER_TIMER, check=False)


def _take_down(run: Run, name: Window, start: Sequence[str]) -> None:
    """Write that the window begins, and stop the services that write.

    Nobody may serve before the list of them is final, so what is started meanwhile is held by its guard or seen.
    """
    server, journal = run.server, run.journal
    journal.open(name, {*writers.running(server), *start})
    down = writers.running(server)
    journal.add_units(down, dearly=False)
    run.say(f"{name}: stopping {', '.join(down) or 'nothing (no service runs)'}")
    writers.stop(server, down)
    writers.check_none_writes(server, writers.PATIENCE_SECONDS)


def start_services(run: Run) -> None:
    """Start what the window stopped, and close it.

    Raises CommandFailed, or subprocess.TimeoutExpired after host.startSeconds.
    """
    recovery.call_off(run)
    run.system.start(run.journal.units, timeout=run.settings.host.start_seconds)
    run.journal.close()
