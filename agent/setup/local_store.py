"""This module checks the local media store: is it a folder that can be moved, and the one that is in use?"""

from __future__ import annotations

from ..host.beneath import Folder, beside
from ..media.synapse_db import SynapseDatabase
from ..model.errors import Problem
from ..model.layout import PLAYBOOK_UNIT
from ..serving import disk, provider, store_in_use
from ..state import local_copy
from ..state.run import Run, Server


def check_media_store(server: Server) -> None:
    """Raise `Problem` unless the local store is a folder or a disk, with no bucket over it nor an earlier backup."""
    store = server.store_path
    if server.system.layers(store):
        raise _is_mounted_over(server)
    try:
        with beside(store) as (parent, name):
            is_folder = parent.has_folder(name)
            owner = parent.metadata(name).st_uid if is_folder else 0
    except OSError as error:
        raise Problem(f"{store} cannot be reached: {error.strerror}", "see host.mediaStore") from None
    if not is_folder:
        raise Problem(
            f"{store} is not a folder, nor a link to one that belongs to whoever laid the link",
            "set host.mediaStore to Synapse's media_store_path on the server, or to the folder that the link leads to",
        )
    local_copy.check_none(server.backup_path)
    if owner == 0:
        raise Problem(f"{store} belongs to root", "give it to the homeserver's user, as the playbook does")


def _is_mounted_over(server: Server) -> Problem:
    """Return the `Problem` of a media store that has a bucket over it, with a remedy for its kind."""
    store, kind = server.store_path, server.system.kind(server.store_path)
    if (server.layout.units / PLAYBOOK_UNIT).exists():
        return Problem(
            f"the playbook mounts a bucket at {store} already ({PLAYBOOK_UNIT}), and this stack moves a local store",
            "set host.adoptMount to true and phase to clean: the stack takes that mount over, and the bucket serves "
            "on; see 'Taking over a mount' in docs/runbook.md",
        )
    return Problem(
        f"something ({kind}) is mounted at {store} already, and this stack moves a local store",
        "if it is the stack's bucket, set host.adoptMount to true and phase to clean; else take that mount away first "
        "(see findmnt), and fetch what only it has",
    )


def check_renames(server: Server) -> None:
    """Raise `Problem` where a folder beside the store cannot be renamed, or is not known again after that.

    So the store is moved in the window. On some file systems inodes follow from the path, on others a folder cannot be
    renamed at all. A disk of its own stays where it is.
    """
    if disk.is_one(server):
        return
    name = f"{server.store_path.name}-rename-check"
    trouble = "it is not the same folder after it was renamed"
    with Folder.at(server.store_path.parent) as parent:
        try:
            parent.remove_tree(name)
            with parent.work_folder(name) as made:
                made.write("token", name.encode())
            parent.rename_entry(name, f"{name}ed")
            with parent.folder(f"{name}ed") as renamed, renamed.file("token") as file:
                trouble = "" if file.read() == name.encode() else trouble
        except OSError as error:
            trouble = str(error.strerror)
        finally:
            for each in (name, f"{name}ed"):
                parent.remove_tree(each)
    if trouble:
        raise Problem(
            f"folders in {server.store_path.parent} cannot be renamed: {trouble}",
            "put the media store on a file system of its own kind (ext4, xfs, btrfs, zfs), not on an overlay",
        )


def check_store_in_use(run: Run) -> None:
    """Raise `Problem` where the homeserver uses another store, and say what stands in the way of phase live."""
    try:
        with beside(run.server.store_path) as (parent, name):
            info = parent.metadata(name)
    except OSError:
        return  # check_media_store says so
    if info.st_uid == 0:
        return  # so does it here: nothing of the homeserver's is read with root's rights
    host = run.settings.host
    database = SynapseDatabase(
        host.database, run.system, (info.st_uid, info.st_gid), run.say, run.server.store_path.parent
    )
    store_in_use.check(run.server, database)
    found = provider.trouble(run.server)
    if found:
        run.say(f"before phase live: {found}")
