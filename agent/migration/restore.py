"""This module is the way back: what the bucket holds comes to the local copy, which becomes the media store again.

What is true if the power fails: until `swapping` the bucket serves, and the local copy gained files and lost none. From
`swapping` on the local copy is complete, and recovery finishes the swap. Once the services run, what Synapse purged
while live moves to a dated folder beside the store. No local file is ever unlinked: what was replaced moves to such a
folder too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..host.beneath import Folder
from ..host.linked import lay_links
from ..model.errors import Problem
from ..model.phases import Milestone, Window
from ..serving import disk, mount, probe
from ..state import local_copy
from ..state.run import Run
from . import pending, unaccounted
from .aside import parent_of_store
from .homeward import Arrivals
from .pull import pull
from .settle import settle
from .swap_home import swap_home
from .window import Clock, start_services

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Seconds for the mount to answer.
ANSWER_SECONDS = 10.0


def refill(run: Run) -> None:
    """Go from clean to live: fetch a whole local copy again, while the bucket serves. Raises what `pull` does.

    Until it is whole it is root's, and nobody else may enter it.
    """
    server, journal = run.server, run.journal
    host = server.settings.host
    backup, incomplete, removing = (each.name for each in (host.backup_path, host.incomplete_path, host.removing_path))
    with parent_of_store(server) as parent:
        if parent.has_folder(backup):
            _give_away(run, parent, backup)
            return
        if parent.has_folder(removing):  # `clean` was interrupted: what it did not remove yet need not be fetched
            disk.move(server, parent, removing, backup)
            with parent.folder(backup) as copy:
                _lay_links(run, copy)
                pull(run, server.backup_path)
                journal.note_links({})  # they are in the copy from now on
                journal.save()
                copy.give(journal.owner, journal.mode)
            return
        if disk.is_one(server) and not server.system.has_disk(host.incomplete_path):
            raise Problem(
                f"a disk is mounted at {server.store_path} that this program did not put aside",
                f"unmount it; what comes home lies in {server.store_path.parent} then",
            )
        with parent.work_folder(incomplete, 0o711 if disk.is_one(server) else 0o700) as copy:
            _lay_links(run, copy)
            pull(run, host.incomplete_path)
            local_copy.mark(journal, copy)
            journal.note_links({})  # they are in the copy from now on
            journal.save()
            disk.move(server, parent, incomplete, backup)
            copy.give(journal.owner, journal.mode)


def _lay_links(run: Run, copy: Folder) -> None:
    if run.journal.local_store:
        lay_links(copy, run.journal.local_store.links)


def _give_away(run: Run, parent: Folder, name: str) -> None:
    """Give a copy to its owner that was whole when the power failed, and was root's still."""
    with parent.folder(name) as copy:
        if copy.metadata().st_uid == os.geteuid() and local_copy.is_it(copy, run.journal.local_store):
            copy.give(run.journal.owner, run.journal.mode)


def back_to_local(run: Run, start: Sequence[str] | None = None) -> Counts:
    """Go from live to mirror, and return the numbers.

    `start` names units to start even if they do not run now, after a cutover that failed. Raises `Problem` where that
    fails; before the swap, the bucket serves on.
    """
    unaccounted.pay_purges(run)
    refill(run)
    # A mount that hangs would keep whoever listens to it waiting; so might one that proved no good.
    path, owner = run.server.store_path, run.journal.owner
    hears = start is None and not probe.why_dead(run.system, owner, path, ANSWER_SECONDS)
    with run.hear(path) if hears else contextlib.nullcontext() as heard:
        caches = pending.ready(run)
        owed = pending.wait(run, caches)  # of these, the listing may know nothing
        pull(run, run.server.backup_path)
        run.copier.prepare()
        arrivals = Arrivals.since_listing(run, heard, caches)
        arrivals.open |= owed
        arrivals.catch_up_at_leisure()
        clock = swap_home(run, arrivals, start)
    counts = _serve(run, clock)
    files, size = settle(run)
    mount.start_staging(run.server, run.journal.owner)
    return {**counts, "files": files, "bytes": size}


def _serve(run: Run, clock: Clock) -> Counts:
    units = run.journal.units
    start_services(run)
    if units:
        run.homeserver.wait()
    counts: Counts = {**run.journal.last, **clock.stopped()}
    run.journal.last = counts
    run.journal.save()
    if clock.held is None:
        run.say(f"restore: the local store serves again; services were stopped for {clock.down.seconds:.1f} s")
    run.reached(Milestone.SERVING_AGAIN, Window.RESTORE)
    return counts
