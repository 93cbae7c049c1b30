"""Notices a mount that is dead or hangs, brings it back, and keeps the services off a bare directory.

What is true if it ends at any point: it keeps nothing on disk, so systemd starts it again and it looks
anew. Services are never left stopped by it: they are told to restart, and their guard holds them until
the media store is there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from . import answers, handover, mount, services
from .context import Context
from .errors import Problem
from .journal import locked
from .places import MOUNT_UNIT

#: Seconds between two looks, and the same once one saw trouble. A mount that hangs right after a look is
#: known to after 5 + 8 + 1 + 8 seconds.
CALM_SECONDS, ALERT_SECONDS = 5.0, 1.0
#: Seconds for which the mount, or the store, may take to answer a look.
ANSWER_SECONDS = 8.0
#: Looks in a row that must see trouble before anything is done: systemd brings a dead mount back by itself.
PATIENCE = 2
#: Looks, a second apart, for which services may run over a mount that is gone: systemd brings most back in that time.
BARE_PATIENCE = 8
#: Looks for which a unit of the playbook's may be stopped before it is started: long enough for it to be removed.
OTHERS_PATIENCE = 30
#: Looks for which a unit may run while nothing is mounted: longer than a container takes to be fetched and to mount.
UNMOUNTED_PATIENCE = 120
#: Good looks in a row after which earlier failures no longer delay the next try of the mount.
FORGIVEN = 12


class Seen(Enum):
    """What a look at the media store's path found."""

    IDLE = "nothing to watch"
    WELL = "the mount answers"
    BARE = "nothing is mounted"
    STUCK = "mounted, and no answer"


class Act(Enum):
    """What is to be done about it."""

    HOLD_SERVICES = "make the services wait for the mount"
    START_MOUNT = "start the mount"
    END_MOUNT = "end the mount's program; systemd starts it again"
    FORGIVE = "forget earlier failures"


@dataclass(frozen=True)
class Look:
    """One look: what was seen, the unit's state, and whether the store itself answers."""

    seen: Seen
    unit: str = "active"
    store_answers: bool = True
    #: Whether the unit is ours; the playbook may be about to take its own away.
    ours: bool = True


def decide(looks: list[Look]) -> set[Act]:
    """What the last looks, the newest last, ask for. Pure."""
    last = looks[-1]
    in_a_row = 0
    for look in reversed(looks):
        if look.seen != last.seen:
            break
        in_a_row += 1
    if last.seen == Seen.WELL:
        return {Act.FORGIVE} if in_a_row == FORGIVEN else set()
    acts: set[Act] = set()
    if last.seen == Seen.BARE:
        if in_a_row >= BARE_PATIENCE:
            acts.add(Act.HOLD_SERVICES)
        patience = PATIENCE if last.ours else OTHERS_PATIENCE
        if in_a_row >= patience and last.unit in ("inactive", "failed"):
            acts.add(Act.START_MOUNT)
        # Somebody unmounted it, and its program does not know.
        recent = looks[-UNMOUNTED_PATIENCE:]
        runs = all((look.seen, look.unit) == (last.seen, "active") for look in recent)
        if runs and len(recent) == UNMOUNTED_PATIENCE and last.store_answers:
            acts.add(Act.END_MOUNT)
    # Where the store itself is silent, a new mount would be no better than this one.
    if last.seen == Seen.STUCK and in_a_row >= PATIENCE and last.store_answers and last.unit == "active":
        acts.add(Act.END_MOUNT)
    return acts


def look(context: Context) -> Look:
    """Look at the media store as its owner does; bounded in time, whatever hangs."""
    if context.journal.serving != "bucket" or context.journal.step:
        return Look(Seen.IDLE)
    trouble = answers.trouble(context, context.settings.host.store_path, ANSWER_SECONDS)
    if not trouble:
        return Look(Seen.WELL)
    unit = handover.serving_unit(context)
    state = context.system.systemctl("show", "--property=ActiveState", "--value", unit, check=False).strip()
    if trouble in (answers.NOT_MOUNTED, answers.DEAD):
        return Look(Seen.BARE, state, state != "active" or _store_answers(context), ours=unit == MOUNT_UNIT)
    return Look(Seen.STUCK, state, _store_answers(context))


def _store_answers(context: Context) -> bool:
    def ask() -> None:
        next(context.bucket.list(attempts=1, page=1), None)

    try:
        context.system.as_user(0, 0, ask, ANSWER_SECONDS)
    except OSError:  # a refusal too: a new mount would be refused as well
        return False
    return True


def act(context: Context, acts: set[Act]) -> None:
    """Do what was decided. The caller holds the lock."""
    if Act.HOLD_SERVICES in acts:
        units = [unit for unit, state in context.system.units(services.patterns(context)).items() if state == "active"]
        if units:
            context.say(f"watchdog: nothing is mounted; {', '.join(units)} must wait for the mount")
            context.system.systemctl("--no-block", "try-restart", *units)
    # Asked once more: many a silence of the network ends while it is being looked at.
    if Act.END_MOUNT in acts and answers.trouble(context, context.settings.host.store_path, ANSWER_SECONDS):
        context.say("watchdog: the mount is gone or does not answer, and the bucket does; mounting anew")
        context.system.systemctl("kill", "--signal=SIGKILL", handover.serving_unit(context), check=False)
    if Act.START_MOUNT in acts:
        context.say("watchdog: the mount was ended from outside; starting it")
        mount.bring_up(context)
    if Act.FORGIVE in acts:
        context.system.systemctl("reset-failed", handover.serving_unit(context), check=False)


def watch(load: Callable[[], Context]) -> None:
    """Look, decide and act, for ever. `load` reads settings and journal anew."""
    looks: list[Look] = []
    while True:
        context = load()
        seen = look(context)
        if looks and seen.seen != looks[-1].seen and Seen.IDLE not in (seen.seen, looks[-1].seen):
            context.say(f"watchdog: {seen.seen.value}")
        looks = [*looks[1 - UNMOUNTED_PATIENCE :], seen]
        acts = decide(looks)
        if acts:
            _act_unless_busy(load, acts)
        _reap()
        context.system.pause(CALM_SECONDS if seen.seen in (Seen.WELL, Seen.IDLE) else ALERT_SECONDS)


def _act_unless_busy(load: Callable[[], Context], acts: set[Act]) -> None:
    """A run that changes the server goes first; what is still wrong after it is seen by the next look."""
    with contextlib.suppress(Problem):
        context = load()
        with locked(context.places, wait=0):
            context = load()
            if context.journal.serving == "bucket" and not context.journal.step:
                act(context, acts)


def _reap() -> None:
    """Children that were stuck in a mount end late."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
