"""This module says whether a mount may come up now.

It is asked before each start of a mount's unit, in a window too, so it imports little.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import Problem
from ..model.phases import Phase, Side, Stage, Window
from ..model.settings import Settings, StoreSettings
from ..state import local_copy
from ..state.journal import Journal
from . import disk, mount_point

if TYPE_CHECKING:
    from ..model.ports import System

#: Tries to ask whose the bucket is, and seconds for each: a mount whose store is away is tried again.
OWNER_ATTEMPTS, OWNER_SECONDS = 2, 10.0
#: Most seconds between two tries of a mount that ends at once; the wait doubles up to this.
BACK_OFF_SECONDS = 15.0


def check(system: System, settings: Settings, journal: Journal, where: Path) -> None:
    """Raise `Problem` if the bucket is about to be mounted at `where` over a local media store.

    What is mounted over must be our mount point. Another path than the media store's is never refused.
    """
    if where != settings.host.store_path:
        return
    if journal.window and (journal.window.name, journal.window.stage) == (Window.MOVE, Stage.STARTING):
        _check_brought_in(journal)
    if journal.forbids_mount():
        raise is_local(where)
    if journal.mounts_beside():
        return
    if not system.layers(where):
        if journal.serving is Side.BUCKET:
            disk.settle(system, settings.host, journal.layout)
        was_disk = journal.local_store and journal.local_store.is_disk
        if journal.serving is Side.BUCKET and journal.phase is Phase.CLEAN and (was_disk or journal.earlier_unit):
            # A disk that was the media store was taken away, or the power failed as an earlier mount was taken over.
            mount_point.take_place_of_empty(where)
        if journal.serving is Side.BUCKET and local_copy.is_disk_there(settings.host.backup_path, journal.local_store):
            mount_point.make_if_gone(where)  # another namespace may have removed it, and the mount with it
        if not mount_point.is_bare(system, where):
            raise is_local(where)


def _check_brought_in(journal: Journal) -> None:
    """Raise `Problem` where a mount would start with the store that was left, and the new one serves."""
    from ..state import moving  # in other windows nobody waits for it

    found = moving.read(journal.layout)
    if found and not moving.is_brought_in(journal.layout, found):
        raise Problem("the media moved to another store, whose keys are not in use yet", "recovery does that now")


def clear(system: System, journal: Journal, where: Path) -> None:
    """Unmount what a program mounted at `where`, in front of our own or after it; nothing that is not ours to end.

    Beneath an earlier mount that was taken over, the folder is made our mount point first: nobody writes into it.
    """
    if where != journal.layout.staging:
        if journal.mounts_beside() or journal.phase is Phase.LOCAL:
            return
        is_disk = journal.local_store is not None and journal.local_store.is_disk
        if journal.serving is Side.BUCKET and journal.earlier_unit and system.layers(where) and not is_disk:
            mount_point.seal(system, where)
    mount_point.clear(system, journal.layout.staging, where)


def check_owner(store: StoreSettings, journal: Journal) -> None:
    """Raise `Problem` where the bucket is not this server's any more, or does not say whose it is now."""
    from ..host.ids import of_this_server  # in a window nobody waits for these
    from ..store import ownership
    from ..store.bucket import Bucket

    bucket = Bucket(store)
    bucket.set_patience(OWNER_ATTEMPTS, OWNER_SECONDS)
    ownership.check_serves(bucket, of_this_server(), store.bucket, journal.epoch)


def is_local(where: Path) -> Problem:
    """Return the `Problem` to raise where the bucket would be mounted over a local media store."""
    return Problem(f"{where} is the local media store", "the bucket is mounted there in phase live only")


def back_off(system: System, unit: str) -> None:
    """Wait before a mount that ended is tried once more: up to BACK_OFF_SECONDS, and longer after each try.

    systemd counts the tries (NRestarts); a mount that is well again starts from none, see `watchdog`.
    https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html
    """
    tries = system.systemctl("show", "--property=NRestarts", "--value", unit, check=False).strip()
    # The count grows for as long as a store is away: a power of it must not.
    system.pause(min(2.0 ** min(int(tries or 0), 10) - 1, BACK_OFF_SECONDS))
