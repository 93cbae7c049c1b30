"""This module takes over a mount of the bucket that serves as the media store already: from local straight to clean.

What is true if the power fails:
- until the window is committed the earlier mount serves, and its unit mounts it again at the next boot;
- once it is committed (`starting`) the bucket serves by our mount, whose unit is enabled; the earlier unit is kept off,
  and nobody but root may write beneath it. Only the proof is owed.
Both mounts show one bucket, so nothing is copied, and what is written through either is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..media.listing import load_media
from ..model.errors import Problem
from ..model.phases import Milestone, Owed, Phase, Side, Window
from ..serving import earlier_checks, earlier_mount, hold, mount, mount_point, probe, provider, writers
from ..serving import proof as proofs
from ..serving.earlier_mount import EarlierMount
from ..state.run import Run
from ..store import ownership
from ..store.bucket import STORE_TROUBLE
from . import remount
from .held import held_or_stopped, hold_still, not_the_moment
from .window import Clock, start_services, window

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Seconds for our mount to answer while services stand still, and to come up while they are stopped.
ANSWER_SECONDS, STOPPED_SECONDS = 1.0, 20.0


def leads_to_clean() -> Problem:
    """Return the `Problem` of another phase that is asked for before the earlier mount was taken over."""
    return Problem(
        "host.adoptMount takes over a mount that serves, which leads to phase clean and no other",
        "set phase to clean; once that is reached, any other may follow",
    )


def adopt(run: Run) -> Counts:
    """Go from local to clean: let our mount take the place of the earlier one; return the numbers.

    Raises `Problem` where that fails. The earlier one serves then, unless only the proof failed.
    """
    server, journal, store = run.server, run.journal, run.settings.store
    provider.check_kept_off(server)
    found = earlier_checks.check(server)
    counts = _tell(run, found)
    earlier_checks.check_writes(server, journal.owner)
    writers.required(server)
    journal.epoch = ownership.claim(run.bucket, server.ids, store.bucket, store.adopt)
    try:
        earlier_mount.lay(server, journal, found.unit)
        clock = _swap(run)
    except BaseException:
        _give_up(run)
        raise
    run.say(f"adopt: {found} is kept from starting, now and at each boot; its program ends once nobody reads from it")
    run.reached(Milestone.SERVING_AGAIN, Window.ADOPT)
    return prove(run, {**counts, **clock.stopped()})


def _tell(run: Run, found: EarlierMount) -> Counts:
    server = run.server
    with server.manifest() as manifest:
        listing = load_media(manifest, run.bucket, run.settings.copy.exclude)
        files, size = manifest.listed()
    views = server.system.views(server.store_path)
    run.say(
        f"adopt: {found} mounts bucket {run.settings.store.path} at {server.store_path}; {files:,} files, "
        f"{size / 1e6:,.1f} MB; seen by {len({view.group for view in views}):,} containers"
    )
    for line in listing.lines():
        run.say(f"adopt: {line}")
    return {"files": files, "bytes": size}


def _give_up(run: Run) -> None:
    """Take back what was laid, where the earlier mount serves on; the next try lays it again."""
    if run.journal.phase is not Phase.LOCAL or run.journal.window:
        return
    earlier_mount.leave_alone(run.server, run.journal)
    try:
        ownership.release(run.bucket, run.server.ids)
    except (Problem, *STORE_TROUBLE) as error:
        run.say(f"adopt: the bucket names this server as its owner still: {error}")


def _swap(run: Run) -> Clock:
    why_not = hold.why_not(run.server)
    if not writers.running(run.server):
        return _stopped(run)
    return held_or_stopped(run, Window.ADOPT, why_not, lambda: _held(run), lambda: _stopped(run))


def _commit(run: Run) -> None:
    """Write that the bucket serves by our mount; from here on, whoever goes on makes it so.

    Raises `Problem` where something lies beneath the earlier mount.
    """
    mount_point.check_nothing_beneath(run.system, run.server.store_path)
    run.journal.commit(Side.BUCKET, Phase.CLEAN, {Owed.PROOF})
    earlier_mount.keep_off(run.server, run.journal)


def _held(run: Run) -> Clock:
    server = run.server
    place, owner = server.layout.mounting, run.journal.owner

    def before() -> None:
        if not run.system.mounted(place):
            mount.start_beside(server, owner)

    def answers() -> None:
        if dead := probe.why_dead(run.system, owner, place, ANSWER_SECONDS):
            raise Problem(f"the mount does not answer: {dead}", "look at its unit's journal")

    def swap(held: hold.Held, clock: Clock) -> str:
        if why_not := not_the_moment(answers):
            return why_not
        hold.check_still(server, held)
        _commit(run)
        earlier_mount.take_place(server)
        hold.check_inside(server, held)
        return ""

    clock = hold_still(run, Window.ADOPT, before, swap)
    mount.settle_beside(server)
    start_services(run)
    run.say(f"adopt: services stood still for {clock.held:.2f} s, and run on")
    return clock


def _stopped(run: Run) -> Clock:
    if run.journal.phase is Phase.CLEAN:  # it was done while services were held, and one did not see our mount
        return remount.stopped(run)
    with window(run, Window.ADOPT) as clock:
        units = run.journal.units
        # Before anything is decided: where the store is away now, the earlier mount may still have what people ask for.
        mount.start_beside(run.server, run.journal.owner, STOPPED_SECONDS)
        _commit(run)
        earlier_mount.take_place(run.server)
    mount.settle_beside(run.server)
    start_services(run)
    if units:
        run.homeserver.wait()
        run.say(f"adopt: the homeserver answers after {clock.down.seconds:.1f} s")
    return clock


def prove(run: Run, counts: Counts | None = None) -> Counts:
    """Prove that the bucket serves where no local copy could, and return the numbers.

    Raises `Problem` where it does not.
    """
    server, journal = run.server, run.journal
    numbers: Counts = {**journal.last, **(counts or {})}
    try:
        run.homeserver.wait()
        numbers["proof"] = proofs.prove(server, journal.owner, run.homeserver)
    except Problem as problem:
        raise Problem(
            f"the bucket serves by this program's mount, and that is not proven: {problem.what}",
            f"{problem.fix}; then run pulumi up again",
        ) from None
    journal.owed.discard(Owed.PROOF)
    journal.last = numbers
    journal.save()
    sample = numbers["proof"]["sample_files"]
    run.say(f"clean: {sample} old files read back, a probe went through the mount into the bucket")
    return numbers
