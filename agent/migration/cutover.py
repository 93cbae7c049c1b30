"""This module is the window in which the bucket becomes the media store.

What is true if the power fails:
- before the window is in the journal: the local store serves;
- at `delta` (services stopped or stopping): the local store is untouched and serves again;
- at `swapping` (`undoing`, once recovery began): nobody wrote to the bucket through the mount yet, so the local copy is
  complete; it is renamed back and serves again;
- once it is committed (`starting`): the bucket holds all, the mount unit is enabled, and it serves. Only the proof is
  owed; the next converge makes it up, or goes back. Where the kernel told what changed, one more walk over the local
  copy is owed too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..host.beneath import Folder
from ..model.errors import Problem
from ..model.phases import Milestone, Owed, Window
from ..serving import mount, proof, provider, store_in_use, writers
from ..state import local_copy
from ..state.run import Run
from . import changes, mirror, restore, swap, unaccounted
from .aside import parent_of_store
from .window import Clock, start_services

if TYPE_CHECKING:
    from ..model.protocol import Counts


def go_live(run: Run) -> Counts:
    """Go from mirror to live: refresh the mirror, then the window, then the proof; return the numbers.

    Raises `Problem` where one of these fails. The local store serves then, unless only the walk after the proof failed.
    """
    local_copy.check_none(run.server.backup_path)
    provider.check_kept_off(run.server)
    store_in_use.check(run.server, unaccounted.database(run))
    counts = mirror.mirror(run)
    mount.start_staging(run.server, run.journal.owner)  # a reboot may have ended it
    with run.listen(run.server.store_path) as listener:
        came, known = changes.before_window(run, listener)
        how = "the kernel tells what changes" if known.changed else "what changes is found by a walk"
        run.say(f"cutover: ready; {came:,} files came while comparing; {how}")
        run.reached(Milestone.WINDOW_READY, Window.CUTOVER)
        local_copy.check_none(run.server.backup_path)
        provider.check_kept_off(run.server)
        run.copier.prepare()
        writers.required(run.server)
        with Folder.at(run.server.store_path) as store:
            local_copy.mark(run.journal, store)
        clock = swap.swap(run, known, counts)
    return _prove(run, clock)


def prove_live(run: Run) -> Counts:
    """Make up the proof that a cutover still owes, in phase live; return the numbers.

    Raises `Problem` where it fails. The local store serves then, unless only the walk after the proof failed.
    """
    return _prove(run, None)


def _prove(run: Run, clock: Clock | None) -> Counts:
    """Start the services and prove that the bucket serves; go back to the local store where it does not.

    Raises `Problem` where it does not.
    """
    server, journal = run.server, run.journal
    counts: Counts = {**journal.last}
    try:
        if journal.window:
            start_services(run)
        run.homeserver.wait()
        if clock:
            counts.update(clock.stopped())
            run.say(f"cutover: the homeserver answers after {clock.down.seconds:.1f} s")
            run.reached(Milestone.SERVING_AGAIN, Window.CUTOVER)
        counts["proof"] = proof.prove(server, journal.owner, run.homeserver)
    except Exception as error:
        run.say(f"cutover: the proof failed ({error}); going back to the local store")
        journal.last = restore.back_to_local(run, start=journal.stopped)
        journal.save()
        raise Problem(
            f"the proof failed, and the local store serves again: {error}", "mend that, then run pulumi up again"
        ) from None
    _verify(run)
    unaccounted.pay_purges(run)
    journal.owed.discard(Owed.PROOF)
    journal.last = counts
    journal.save()
    mount.stop_staging(server)
    sample = counts["proof"]["sample_files"]
    run.say(f"live: {sample} old files read back, a probe went through the mount into the bucket")
    return counts


def _verify(run: Run) -> None:
    """Walk over the local copy where that is owed, for what the window may have missed.

    Where this fails the bucket serves on: it holds all that anybody was told of. The next run looks again.
    """
    copy, journal = run.server.backup_path, run.journal
    if Owed.WALK not in journal.owed:
        return
    with parent_of_store(run.server) as parent:
        is_there = local_copy.is_at(parent, copy.name, journal.local_store)
    if is_there:
        run.say("live: the bucket serves; looking through the local copy for what the window may have missed")
        changes.verify(run, copy)
    else:
        run.say(f"live: {copy} is gone, so it was not walked once more for what the window may have missed")
    journal.owed.discard(Owed.WALK)
