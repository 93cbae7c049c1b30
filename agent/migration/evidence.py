"""This module reads the journal, and believes what lies on disk more than a journal that is gone or older than that.

A root disk may be set back while the media's own disk is not. What lies at the media store's path is the truth: our
mount point is there as long as the bucket serves, and the local copy, which is known by its token, once it came home.
Nothing is written here; whoever changes the server saves what this found.
"""

from __future__ import annotations

from ..host.beneath import Folder
from ..host.files import read_json
from ..model.errors import Problem
from ..model.layout import MOUNT_UNIT
from ..model.phases import Owed, Phase, Side
from ..serving import mount_point
from ..state import local_copy
from ..state.journal import Journal, Lost
from ..state.records import LocalStore
from ..state.run import Server
from .aside import parent_of_store


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
    if journal.serving is Side.LOCAL and _bucket_serves(server):
        journal.correct(Side.BUCKET, _phase_of_bucket(server), {Owed.PROOF})
    elif journal.serving is Side.BUCKET and _local_copy_came_home(server, journal):
        journal.correct(Side.LOCAL, Phase.MIRROR, ())


def _bucket_serves(server: Server) -> bool:
    """Return whether our mount point lies at the store's path, bare or with our mount over it."""
    if server.system.layers(server.store_path):
        return server.system.is_active(MOUNT_UNIT)
    return mount_point.is_bare(server.system, server.store_path)


def _local_copy_came_home(server: Server, journal: Journal) -> bool:
    """Return whether a local copy lies at the store's path that was marked on the way home, after this journal.

    One that somebody moved there by hand is older than the bucket.
    """
    if server.system.layers(server.store_path):
        return False
    try:
        with Folder.at(server.store_path) as store:
            return local_copy.is_newer(store, journal.generation)
    except OSError:  # its disk is not there
        return False


def _phase_of_bucket(server: Server) -> Phase:
    with parent_of_store(server) as parent:
        return Phase.LIVE if parent.has_folder(server.backup_path.name) else Phase.CLEAN


def _made_up(server: Server) -> Journal:
    """Return a journal in the place of one that is gone. Raises `Problem` where that cannot be done."""
    journal = Journal(server.layout)
    try:
        if _bucket_serves(server):
            journal.local_store = _store_of_old(server)
            journal.correct(Side.BUCKET, _phase_of_bucket(server), {Owed.PROOF})
        else:
            with Folder.at(server.store_path) as store:
                info = store.metadata()
            journal.local_store = LocalStore(info.st_uid, info.st_gid, info.st_mode & 0o777)
            journal.correct(Side.LOCAL, Phase.PREPARE, ())
    except OSError as error:
        raise Problem(
            f"the journal is gone, and nothing lies at {server.store_path}: {error.strerror}",
            "is its disk mounted? Mount it and run pulumi up again; the services wait until then",
        ) from None
    return journal


def _store_of_old(server: Server) -> LocalStore:
    """Return whose the media store was, and how the local copy is known: as was noted beside the settings, or in it."""
    noted = local_copy.of_document(read_json(server.layout.local_store))
    if noted is None:
        with parent_of_store(server) as parent:
            if parent.has_folder(server.backup_path.name):
                with parent.folder(server.backup_path.name) as copy:
                    noted = local_copy.of_document((local_copy.read(copy) or {}).get("store"))
    if noted is None:
        raise Problem(
            "the journal is gone, and nothing says whose the media store was",
            f"bring {server.layout.journal} back from a backup of the server",
        )
    return noted
