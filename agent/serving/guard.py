"""This module is the check before each start of a service that writes media."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.errors import Problem
from ..model.layout import RECOVER_UNIT
from ..model.phases import Side
from ..state.journal import Journal
from ..state.lock import is_busy
from ..state.run import Server
from . import earlier_mount, mount, mount_point, playbook, probe

if TYPE_CHECKING:
    from ..model.ports import Say

#: How often the guard says in the journal why it waits, in seconds; and for how long a mount that served before
#: may be silent. Then services start over it all the same: without the store behind it media fail, and are refused
#: to whoever uploads them, but people can write to each other.
SAY_SECONDS = 30


def reason_to_wait(server: Server, journal: Journal) -> str:
    """Return why the homeserver must not start now; the text is empty where it may."""
    store = server.store_path
    if earlier_mount.is_due(server, journal) and journal.serving is Side.LOCAL:
        is_there = server.system.mounted(store) or not mount_point.is_empty(store)
        return "" if is_there else f"nothing is mounted at {store} yet, which is to be taken over"
    if journal.serving is Side.NOBODY:
        return "the media store is being moved"
    if journal.serving is Side.BUCKET:
        reason = probe.why_not_serving(server.system, journal.owner, store)
        return f"the bucket does not serve at {store}: {reason}" if reason else ""
    if journal.local_store and journal.local_store.is_disk and not server.system.has_disk(store):
        return f"no disk is mounted at {store}, which was one: mount it"
    if server.system.layers(store) or not mount_point.holds_a_store(store):
        return f"{store} is not the local media store"
    if journal.local_store and journal.local_store.token and mount_point.is_empty(store):
        return f"{store} is empty: is its disk mounted?"
    return ""


def merely_silent(server: Server, journal: Journal) -> bool:
    """Return whether the mount is there and answered since it was started, and only the store does not answer now."""
    if journal.serving is not Side.BUCKET or not server.system.is_active(playbook.serving_unit(server)):
        return False
    reason = probe.why_not_serving(server.system, journal.owner, server.store_path)
    return reason not in ("", probe.NOT_MOUNTED, probe.DEAD)


def hold(server: Server, say: Say) -> None:
    """Return once the media store is there, however long that takes, but never over a bare directory.

    A mount that served before and whose store is silent is waited for SAY_SECONDS only. Whatever else it waits for, it
    sees to it that recovery runs: one that failed, since a disk was full or not there yet, is tried again.
    """
    journal, reason = _journal(server), ""
    if journal and journal.serving is Side.BUCKET and not server.system.is_active(playbook.serving_unit(server)):
        mount.bring_up(server)

    def free() -> bool:
        nonlocal reason
        try:
            reason = reason_to_wait(server, Journal.load(server.layout))
        except Problem as problem:  # no journal that could be read: recovery makes one, or an administrator
            reason = str(problem)
        return not reason

    while not server.system.wait_until(free, SAY_SECONDS, every=0.5):
        journal = _journal(server)
        if journal and merely_silent(server, journal):
            say(f"starting without media until the store is back: {reason}")
            return
        say(f"waiting: {reason}")
        if not is_busy(server.layout):
            server.system.systemctl("start", "--no-block", RECOVER_UNIT, check=False)


def _journal(server: Server) -> Journal | None:
    try:
        return Journal.load(server.layout)
    except Problem:
        return None
