"""This module brings changed mount settings or keys into use while the bucket serves: in a short window.

They were tried at the staging path before. If the power fails or the mount does not come back, the bucket stays the
media store: recovery starts the mount and the services, which their guard holds until the mount answers. Settings that
do not prove themselves give way to the earlier ones, which were laid aside on disk.
"""

from __future__ import annotations

from collections.abc import Callable

from ..model.errors import Problem
from ..model.phases import Owed, Side, Window
from ..serving import proof
from ..state import earlier
from ..state.run import Run
from . import recovery
from .window import window


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
    run.journal.owed.discard(Owed.REMOUNT)
    run.journal.save()
    earlier.forget(run.layout, run.server.programs.keys())


def _once(run: Run) -> None:
    journal = run.journal
    with window(run, Window.REMOUNT) as clock:
        units = journal.units
        recovery.end_mount(run)
        journal.commit(Side.BUCKET, journal.phase, journal.owed)
    recovery.recover(run)
    if units:
        run.homeserver.wait()
        run.say(f"remount: the homeserver answers after {clock.down.seconds:.1f} s")
        proof.prove(run.server, journal.owner, run.homeserver)
        run.say("remount: proven; old files read back, a probe went through the mount into the bucket")
