"""This module brings changed mount settings or keys into use while the bucket serves, in a short window or in two.

They were tried at the staging path before. Where services can be held, the mount there serves meanwhile: it comes to
the media store's place in one window, and our own, mounted anew, in another. If the power fails or the mount does not
come back, the bucket stays the media store: recovery starts the mount and the services, which their guard holds until
the mount answers. Settings that do not prove themselves give way to the earlier ones, which were laid aside on disk.
"""

from __future__ import annotations

from collections.abc import Callable

from ..model.errors import Problem
from ..model.layout import MOUNT_UNIT, STAGING_UNIT
from ..model.phases import Owed, Side, Window
from ..serving import hold, mount, proof, write_cache, writers
from ..state import earlier
from ..state.run import Run, Server
from . import pending, recovery
from .held import held_or_stopped, hold_still
from .window import Clock, start_services, window


def remount(run: Run, load: Callable[[], Run]) -> None:
    """Mount anew; `load` gives a run with the settings that lie on the server then.

    Raises `Problem` where the new settings do not prove themselves; the earlier ones serve again then.
    """
    if run.journal.serving is Side.BUCKET:
        try:
            _once(run)
        except Exception as error:
            run.say(f"remount: {error}; going back to the earlier settings")
            if not earlier.bring_back(run.layout, run.system):
                raise
            before = load()
            recovery.recover(before)  # where what failed was recovery itself
            _once(before)
            _settle(before)
            raise Problem(
                f"the new settings of the mount did not prove themselves, and the earlier ones serve again: {error}",
                "mend that, then run pulumi up again",
            ) from None
    _settle(run)


def _settle(run: Run) -> None:
    pending.remove_caches(run, write_cache.wanted(run.server))
    run.journal.owed.discard(Owed.REMOUNT)
    run.journal.save()
    earlier.forget(run.layout, run.server.programs.keys())


def _once(run: Run) -> None:
    if writers.running(run.server):
        why_not = hold.why_not(run.server)
        held_or_stopped(run, Window.REMOUNT, why_not, lambda: _held(run), lambda: stopped(run))
    else:
        stopped(run)


def _prove(run: Run) -> None:
    proof.prove(run.server, run.journal.owner, run.homeserver)
    run.say("remount: proven; old files read back, a probe went through the mount into the bucket")


def stopped(run: Run) -> Clock:
    """Mount anew while the services are stopped, and return the times. Raises `Problem` where that fails."""
    journal = run.journal
    with window(run, Window.REMOUNT) as clock:
        units = journal.units
        recovery.end_mount(run)
        journal.commit(Side.BUCKET, journal.phase, journal.owed)
    recovery.recover(run)
    mount.stop_staging(run.server)  # where services could not be held after all
    if units:  # else there is nobody by whom to prove it
        run.homeserver.wait()
        run.say(f"remount: the homeserver answers after {clock.down.seconds:.1f} s")
        _prove(run)
    return clock


def _held(run: Run) -> Clock:
    """Have the mount at the staging path serve, which has the new settings, while ours is mounted anew.

    Twice services stand still; the times are those of the longer one.
    """
    mount.start_staging(run.server, run.journal.owner)
    clocks = [_swap(run, mount.show_staging), _anew(run)]
    longest = max(clocks, key=lambda clock: clock.held or 0)
    run.say(f"remount: services stood still for {longest.held:.2f} s at most, twice, and run on")
    run.homeserver.wait()
    _prove(run)
    return longest


def _anew(run: Run) -> Clock:
    """Mount our own anew while that of the staging path serves, and have it take its place; return the times."""
    server, owner = run.server, run.journal.owner
    mount.end_unread(server, MOUNT_UNIT, run.say)
    mount.start_anew(server, owner)
    clock = _swap(run, mount.show_beside)
    mount.settle_beside(server)
    mount.end_unread(server, STAGING_UNIT, run.say)
    return clock


def take_place_of_staging(run: Run) -> None:
    """Have our own mount, mounted anew, serve where that of the staging path does after a move.

    Raises `Problem` where that fails.
    """
    if writers.running(run.server):
        held_or_stopped(run, Window.REMOUNT, hold.why_not(run.server), lambda: _anew(run), lambda: stopped(run))
    else:
        stopped(run)


def _swap(run: Run, show: Callable[[Server, Callable[[], None]], None]) -> Clock:
    def swap(held: hold.Held, clock: Clock) -> str:
        hold.check_still(run.server, held)
        show(run.server, lambda: hold.check_inside(run.server, held))
        run.journal.commit(Side.BUCKET, run.journal.phase, run.journal.owed)
        return ""

    clock = hold_still(run, Window.REMOUNT, lambda: None, swap)
    start_services(run)
    return clock
