"""This module puts the agent on the server, and takes everything away."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from typing import Any

from ..host import compiled
from ..host.beneath import Folder, beside, is_folder
from ..host.files import lay_reserve, sync_folder, write_atomic
from ..model.errors import Problem
from ..model.layout import WATCHDOG_UNIT, Layout
from ..model.phases import Phase, Side
from ..model.version import version
from ..serving import disk, earlier_mount, metrics, playbook
from ..state import local_copy
from ..state.journal import RESERVE_BYTES
from ..state.records import LocalStore
from ..state.run import Run, Server, keep_settings, known_settings
from . import mount, preflight, status_keys


def keep_copy_settings(run: Run, document: dict[str, Any]) -> None:
    """Remember the settings of the document, which say how to copy.

    Raises `Problem` where what is left out of the bucket changed while the bucket relies on it. `run` has the
    document's settings laid over those that lie on the server.
    """
    old = known_settings(run.layout).get("copy", {}).get("exclude")
    if old is not None and old != run.settings.copy.exclude and run.journal.phase not in mount.UNUSED:
        raise Problem(
            f"copy.exclude changed in phase {run.journal.phase}", "set it back and phase to prepare; change it then"
        )
    keep_settings(run.layout, document)


def install(run: Run, sha256: str, document: dict[str, Any]) -> None:
    """Check the server, then put this very agent in place, with its settings and the status keys.

    Where the mount was laid before, its files are laid anew, but for those that a mount which serves was started with.
    Raises `Problem` or `Problems` where a check fails; then nothing was changed.
    """
    layout, journal = run.layout, run.journal
    check_same_media_store(run)
    preflight.check(run)
    data = this_agent()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Problem("the agent did not arrive as it was sent", "run pulumi up again")
    place_agent(layout, data)
    if earlier_mount.is_due(run.server, journal):
        journal.local_store = earlier_mount.local_store(run.server, earlier_mount.find(run.server))
    elif journal.local_store is None or journal.phase is Phase.LOCAL:
        journal.local_store = _local_store(run)
    journal.note_agent(sha256)
    journal.save()
    # Where a link leads is decided once: whoever may lay another one there must not move what root works on.
    keep_settings(layout, {"host": {**document["host"], "resolved": run.settings.host.resolved}})
    status_keys.lay(run)
    if "mount" in known_settings(layout):  # else a first run was killed before it was told all
        # Newer unit files and a changed list of services. What a running mount was started with is left to
        # `mount.install`, which tries it first: until then it differs, and the next update sees that.
        mount.lay_files(Server.load(layout), journal, but_for_the_mount=journal.serving is Side.BUCKET)
        metrics.settle(Server.load(layout))
        run.system.systemctl("try-restart", WATCHDOG_UNIT)
    lay_reserve(layout.reserve, RESERVE_BYTES)
    run.say(f"agent {version(sha256)} is in place; the server passed all checks")


def _local_store(run: Run) -> LocalStore:
    """Return whose the media store is. That is decided once, before anything relies on it.

    Raises `Problem` where it is root's: somebody exchanged it for a folder of root's just now.
    """
    with beside(run.server.store_path) as (parent, name), parent.folder(name) as store:
        info, is_disk = store.metadata(), disk.is_one(run.server)
        # The folder above a disk is there without it too, and says nothing of it.
        above = 0 if is_disk else parent.metadata().st_ino
    if info.st_uid == 0:
        raise Problem(f"{run.server.store_path} belongs to root", "give it to the homeserver's user")
    return LocalStore(info.st_uid, info.st_gid, info.st_mode & 0o777, parent=above, is_disk=is_disk)


def this_agent() -> bytes:
    """Return the bytes of the zipapp that runs now, as Python was told to run it."""
    with open(sys.argv[0], "rb") as file:
        return file.read()


def place_agent(layout: Layout, data: bytes) -> None:
    """Put the zipapp where the units call it, with a compiled copy beside it."""
    write_atomic(layout.agent, data, 0o755)
    with contextlib.suppress(OSError):  # without it the agent only starts more slowly
        compiled.lay(layout.agent, data)
    layout.lib.chmod(0o755)  # so that any user sees whether the agent is there


def check_same_media_store(run: Run) -> None:
    """Raise `Problem` where host.mediaStore changed while something of ours relies on it."""
    before, now = known_settings(run.layout).get("host", {}).get("media_store"), run.settings.host.media_store
    if before and before != now and run.journal.phase not in mount.UNUSED:
        raise Problem(
            f"host.mediaStore changed from {before} to {now} in phase {run.journal.phase}",
            "set it back and phase to prepare; change it then",
        )


def check_told_bucket(layout: Layout, document: dict[str, Any]) -> None:
    """Raise `Problem` if the bucket that is to be emptied is not the one that this server used."""
    used, told = known_settings(layout).get("store", {}), document.get("store", {})
    if used and mount.place(used) != mount.place(told):
        raise Problem(
            f"this server used bucket {mount.place(used)}, and is told to empty {mount.place(told)}",
            "set the store back to the one that was used, run pulumi up, then destroy",
        )


def uninstall(run: Run, everything: bool) -> None:
    """Take the mount away, and with `everything` the agent too.

    Raises `Problem` where the media store is not local, or the playbook's unit would mount over it.
    """
    if run.journal.serving is not Side.LOCAL:
        raise Problem("the media store still lives in the bucket", "run pulumi up with phase prepare first")
    playbook.check_gone(run.server)
    earlier_mount.check_gone(run.server)
    if run.system.has_disk(run.layout.disk):
        raise Problem(
            f"the media store's disk is mounted at {run.layout.disk} still",
            f"umount {run.layout.disk} on the server, see that the media are at {run.server.store_path}; destroy again",
        )
    mount.remove_files(run.server)
    run.journal.note_repairs(None)  # nothing of the mount is expected here any more
    run.journal.save()
    if everything:
        status_keys.remove(run)
        if is_folder(run.server.store_path) and not run.system.layers(run.server.store_path):
            with Folder.at(run.server.store_path) as store:
                local_copy.unmark(store)
        for folder in (run.layout.etc, run.layout.var, run.layout.lib):
            if folder.exists():
                shutil.rmtree(folder)
                sync_folder(folder.parent)
        run.say("the agent is gone; the media store is local")
