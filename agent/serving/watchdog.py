"""This module notices a mount that is dead or hangs, brings it back, and keeps the services off a bare directory.

What is true if it ends at any point: it keeps nothing on disk, so systemd starts it again and it looks anew. Services
are never left stopped by it: they are told to restart, and their guard holds them until the media store is there.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ..host.console import say
from ..model.errors import Problem
from ..model.layout import MOUNT_UNIT
from ..model.phases import Side
from ..state.journal import Journal
from ..state.lock import locked
from ..state.run import Server
from . import mount, playbook, probe, remote_control, store_in_use, write_cache, writers

#: Seconds between two looks while all is well, and once one saw trouble. A program that hangs right after a look is
#: noticed after 5 + 8 + 1 + 8 seconds.
CALM_SECONDS, ALERT_SECONDS = 5.0, 1.0
#: Seconds between two looks that read from the store while all is well: stores bill each request, and some of them stop
#: serving where too many are made, see docs/scale.md.
READ_SECONDS = 60.0
#: Says why the mount does not serve, or nothing; see `probe`.
Question = Callable[..., str]
#: Seconds for which the mount, or the store, may take to answer a look.
ANSWER_SECONDS = 8.0
#: Seconds between two restarts of services that do not see the mount: where one does not help, the next would not.
RESTART_SECONDS = 3600.0
#: Seconds after which uploads that do not get up are told of once more.
TELL_SECONDS = 300.0
#: Free bytes below which a disk with such uploads is told of.
LITTLE_BYTES = 256 << 20
#: Looks in a row that found the store silent, after which there are that many seconds between two.
SILENT_LOOKS, SILENT_SECONDS = 30, 30.0
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
    """A `Seen` says what a look at the media store's path found."""

    IDLE = "nothing to watch"
    WELL = "the mount answers"
    BARE = "nothing is mounted"
    STUCK = "mounted, and no answer"


class Act(Enum):
    """An `Act` is something to be done about what was seen."""

    HOLD_SERVICES = "make the services wait for the mount"
    START_MOUNT = "start the mount"
    END_MOUNT = "end the mount's program; systemd starts it again"
    FORGIVE = "forget earlier failures"
    RESTART_SERVICES = "restart the services, which do not see the mount that came back"


@dataclass(frozen=True)
class Look:
    """A `Look` is what one look found: the mount, the state of its unit, and whether the store itself answers."""

    seen: Seen
    unit: str = "active"
    store_answers: bool = True
    #: Whether the unit is ours; the playbook may be about to take its own away.
    ours: bool = True


def decide(looks: list[Look]) -> set[Act]:
    """Return what is to be done after these looks, of which the newest is the last. It is pure."""
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


def look(server: Server, journal: Journal, question: Question = probe.why_not_read) -> Look:
    """Look at the media store as its owner does, and return what was found; it takes bounded time, whatever hangs."""
    if journal.serving is not Side.BUCKET or journal.window:
        return Look(Seen.IDLE)
    reason = question(server.system, journal.owner, server.store_path, ANSWER_SECONDS)
    if not reason:
        return Look(Seen.WELL)
    unit = playbook.serving_unit(server)
    state = server.system.systemctl("show", "--property=ActiveState", "--value", unit, check=False).strip()
    if reason in (probe.NOT_MOUNTED, probe.DEAD):
        return Look(Seen.BARE, state, state != "active" or _store_answers(server), ours=unit == MOUNT_UNIT)
    return Look(Seen.STUCK, state, _store_answers(server))


def _store_answers(server: Server) -> bool:
    def ask() -> None:
        next(server.bucket.list(attempts=1, page=1), None)

    try:
        server.system.as_user(0, 0, ask, ANSWER_SECONDS)
    except OSError:  # a refusal too: a new mount would be refused as well
        return False
    return True


def act(server: Server, journal: Journal, acts: set[Act]) -> None:
    """Do the acts that `decide` returned. The caller holds the lock."""
    system, unit = server.system, playbook.serving_unit(server)
    restarts = {Act.HOLD_SERVICES: "nothing is mounted", Act.RESTART_SERVICES: "the homeserver does not see the mount"}
    for each in acts & restarts.keys():
        units = [unit for unit, state in system.units(writers.patterns(server)).items() if state == "active"]
        if units:
            say(f"watchdog: {restarts[each]}; restarting {', '.join(units)}, which wait until it is there")
            system.systemctl("--no-block", "try-restart", *units)
    # Asked once more: many a silence of the network ends while it is being looked at.
    if Act.END_MOUNT in acts and probe.why_not_serving(system, journal.owner, server.store_path, ANSWER_SECONDS):
        say("watchdog: the mount is gone or does not answer, and the bucket does; mounting anew")
        system.systemctl("kill", "--signal=SIGKILL", unit, check=False)
    if Act.START_MOUNT in acts:
        say("watchdog: the mount was ended from outside; starting it")
        mount.bring_up(server)
    if Act.FORGIVE in acts:
        system.systemctl("reset-failed", unit, check=False)


def watch(load: Callable[[], Server]) -> None:
    """Look, decide and act, without end. `load` reads the settings anew for each look."""
    looks: list[Look] = []
    read_at, restarted_at, blind = -math.inf, -math.inf, 0
    told_at = -math.inf
    while True:
        server = load()
        calm = bool(looks) and looks[-1].seen is Seen.WELL
        reads = not calm or time.monotonic() >= read_at + READ_SECONDS
        read_at = time.monotonic() if reads else read_at
        seen = look(server, Journal.load(server.layout), probe.why_not_read if reads else probe.why_dead)
        if looks and seen.seen != looks[-1].seen and Seen.IDLE not in (seen.seen, looks[-1].seen):
            say(f"watchdog: {seen.seen.value}")
        looks = [*looks[1 - UNMOUNTED_PATIENCE :], seen]
        acts = decide(looks)
        if reads:
            blind = blind + 1 if seen.seen is Seen.WELL and store_in_use.without_mount(server) else 0
        if blind >= PATIENCE and time.monotonic() >= restarted_at + RESTART_SECONDS:
            acts, restarted_at = acts | {Act.RESTART_SERVICES}, time.monotonic()
        if reads and time.monotonic() >= told_at + TELL_SECONDS and (trouble := owed_for_long(server)):
            say(f"watchdog: {trouble}")
            told_at = time.monotonic()
        if acts:
            _act_unless_busy(load, acts)
        _reap()
        server.system.pause(until_next(looks))


def owed_for_long(server: Server) -> str:
    """Return what a person should know of uploads that the cache cannot get into the bucket; it is empty for none."""
    cache = write_cache.wanted(server)
    queue = remote_control.queue(server.layout.remote_control) if cache else None
    if not cache or queue is None:
        return ""
    # Where rclone cannot write its note on a file, it forgets the file.
    if queue.files and shutil.disk_usage(cache.folder.parent).free < LITTLE_BYTES:
        return (
            f"{queue.files:,} uploads are on this server's disk alone, and it is nearly full: make room at "
            f"{server.settings.mount.cache_folder} now, or they may be lost"
        )
    if not queue.failing:
        return ""
    return (
        f"{queue.failing:,} uploads are on this server's disk alone and do not get into the bucket, which may be full, "
        "away, or refuse the key: see journalctl -u matrix-media-store"
    )


def until_next(looks: list[Look]) -> float:
    """Return for how many seconds to wait after these looks. It is pure.

    While the store itself stays silent there is nothing to do, and each look is a request that it may count.
    """
    last = looks[-1]
    if last.seen in (Seen.WELL, Seen.IDLE):
        return CALM_SECONDS
    recent = looks[-SILENT_LOOKS:]
    if len(recent) == SILENT_LOOKS and not any(look.store_answers for look in recent):
        return SILENT_SECONDS
    return ALERT_SECONDS


def _act_unless_busy(load: Callable[[], Server], acts: set[Act]) -> None:
    """Do what was decided, unless another run changes the server: the next look sees what is still wrong after that."""
    with contextlib.suppress(Problem), locked(load().layout, wait=0):
        server = load()
        journal = Journal.load(server.layout)
        if journal.serving is Side.BUCKET and not journal.window:
            act(server, journal, acts)


def _reap() -> None:
    """Take note of children that have ended by now: one that was stuck in a mount ends late."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
