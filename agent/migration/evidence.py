"""This module reads the journal, and believes what lies on disk more than a journal that is gone or older than that.

A root disk may be set back while the media's own disk is not. What lies at the media store's path is the truth: our
mount point is there as long as the bucket serves, and the local copy, which is known by its token, once it came home.
Nothing is written here; whoever changes the server saves what this found.
"""

from __future__ import annotations

from pathlib import Path

from ..host.beneath import Folder, is_folder
from ..host.files import read_json
from ..host.mounts import COVER
from ..host.systemd import RUNNING
from ..model.errors import Problem
from ..model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from ..model.phases import Owed, Phase, Side, Stage, Window
from ..serving import earlier_mount, mount_point
from ..state import local_copy, moving
from ..state.journal import Journal, Lost
from ..state.records import LocalStore, OpenWindow
from ..state.run import Server


def journal_of(server: Server) -> Journal:
    """Return the server's journal, put right where what lies on disk says otherwise.

    Raises `Problem` where it is damaged, or is gone and its loss cannot be made up.
    """
    try:
        journal = Journal.load(server.layout)
    except Lost:
        return _made_up(server)
    if journal.window is None and journal.local_store is not None:
        _put_right(server, journal)
    return journal


def _put_right(server: Server, journal: Journal) -> None:
    if (
        journal.serving is Side.LOCAL
        and _bucket_serves(server)
        # And not where it is mounted later.
        and _is_disk_there(server, journal.local_store)
    ):
        journal.correct(Side.BUCKET, _phase_of_bucket(server), {Owed.PROOF}, _generation(server.backup_path))
    elif journal.serving is Side.BUCKET and _local_copy_came_home(server, journal):
        journal.correct(Side.LOCAL, Phase.MIRROR, {Owed.LISTING}, _generation(server.store_path))


def _is_disk_there(server: Server, known: LocalStore | None) -> bool:
    if known and known.is_disk:
        return server.system.has_disk(server.store_path)
    return local_copy.is_disk_there(server.backup_path, known)


def _bucket_serves(server: Server) -> bool:
    """Return whether our mount point lies at the store's path, bare or with our mount, or the playbook's, over it."""
    layers = server.system.layers(server.store_path)
    if not layers:
        return mount_point.is_bare(server.system, server.store_path)
    if server.settings.host.adopt_mount and not server.system.has_disk(server.store_path):
        return mount_point.is_beneath(server.system, server.store_path)  # an earlier mount has none beneath it
    units = server.system.units([MOUNT_UNIT, PLAYBOOK_UNIT])
    return COVER in layers or any(state in RUNNING for state in units.values())


def _local_copy_came_home(server: Server, journal: Journal) -> bool:
    """Return whether a local copy lies at the store's path that came home after this journal was written.

    One that somebody moved there by hand is older than the bucket.
    """
    return not server.system.layers(server.store_path) and _generation(server.store_path) > journal.generation


def _generation(path: Path) -> int:
    """Return the generation that the folder at `path` is marked with, or 0 where there is none."""
    try:
        with Folder.at(path) as copy:
            return local_copy.generation_of(copy)
    except OSError:  # its disk is not there
        return 0


def _phase_of_bucket(server: Server) -> Phase:
    return Phase.LIVE if is_folder(server.backup_path) else Phase.CLEAN


def _made_up(server: Server) -> Journal:
    """Return a journal in the place of one that is gone. Raises `Problem` where that cannot be done."""
    layout, backup = server.layout, server.backup_path
    if _bucket_serves(server):
        journal = Journal(layout, local_store=_store_of_old(server), earlier_unit=earlier_mount.kept_off(layout))
        moved = moving.read(layout)
        left = {Owed.LEFT} if moved and moving.is_brought_in(layout, moved) else set()
        journal.correct(Side.BUCKET, _phase_of_bucket(server), {Owed.PROOF, *left}, _generation(backup))
        return journal
    if not is_folder(server.store_path) and _generation(backup):
        # Between the renames of a window: the copy was whole then, and comes home.
        window = OpenWindow(Window.CUTOVER, Stage.SWAPPING, ())
        return Journal(
            layout, Phase.MIRROR, Side.NOBODY, window, _generation(backup), local_store=_store_of_old(server)
        )
    if earlier_mount.is_due(server, Journal(layout)) and not _generation(server.store_path):
        return Journal(layout, local_store=_store_of_old(server))  # the earlier mount serves still, or will
    try:
        with Folder.at(server.store_path) as store:
            info = store.metadata()
    except OSError as error:
        raise Problem(
            f"the journal is gone, and nothing lies at {server.store_path}: {error.strerror}",
            "is its disk mounted? Mount it and run pulumi up again; the services wait until then",
        ) from None
    found = LocalStore(info.st_uid, info.st_gid, info.st_mode & 0o777)
    journal = Journal(layout, local_store=found, earlier_unit=earlier_mount.kept_off(layout))
    journal.correct(Side.LOCAL, Phase.PREPARE, (), _generation(server.store_path))
    return journal


def _store_of_old(server: Server) -> LocalStore:
    """Return whose the media store was, and how the local copy is known: as was noted beside the settings, or in it."""
    noted = local_copy.of_document(read_json(server.layout.local_store))
    if noted is None and is_folder(server.backup_path):
        with Folder.at(server.backup_path) as copy:
            noted = local_copy.of_document((local_copy.read(copy) or {}).get("store"))
    if noted is None:
        raise Problem(
            "the journal is gone, and nothing says whose the media store was",
            f"bring {server.layout.journal} back from a backup of the server",
        )
    return noted
