"""This module knows the local copy of the media store from any other folder that has its name.

A token lies in a folder of ours at its top, and in the journal. Inodes alone would not do: on some file systems they
follow from the path (mergerfs). Where somebody removed the token, or the power failed as it was laid, the inode tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.beneath import Folder, beside
from ..model.errors import Problem
from ..model.layout import RESERVED
from .records import LocalStore

if TYPE_CHECKING:
    from .journal import Journal

#: The file in the folder of ours; it also says whose the media store is, should the journal be lost.
TOKEN = "local-copy.json"
#: A token is far shorter than this many bytes.
LONGEST = 4096


def check_none(backup: Path) -> None:
    """Raise `Problem` where something has the name that the local copy is to have. Raises OSError."""
    with beside(backup) as (parent, name):
        if parent.find(name) is not None:
            raise Problem(f"{backup} exists already", "it may be an earlier migration's copy: move it elsewhere first")


def mark(journal: Journal, store: Folder) -> None:
    """Lay a new token in the store, which is the local copy from now on, and note it in the journal.

    If the power fails before the journal is saved, the inode tells, but for a disk of its own: all of a kind have the
    same at their top. Raises `Problem` where something else has the name of the folder of ours.
    """
    info = store.metadata()
    is_disk = info.st_dev != os.stat("..", dir_fd=store.number).st_dev
    journal.note_local_copy(secrets.token_hex(16), None if is_disk else info.st_ino)
    _lay(journal, store, journal.generation)


def came_home(journal: Journal, store: Folder) -> None:
    """Write into the token that the local copy came home after the journal's generation.

    So it is believed to serve, should the journal be set back to that. Raises what `mark` does.
    """
    _lay(journal, store, journal.generation + 1)


def _lay(journal: Journal, store: Folder, generation: int) -> None:
    known = journal.local_store
    assert known
    # Never without one: by it alone a disk of its own is known after a power loss.
    with _own_folder(store) as own:
        new = f"{TOKEN}.new"
        own.remove_tree(new)
        with contextlib.suppress(FileNotFoundError):
            own.remove_file(new)
        own.write(new, json.dumps({"store": asdict(known), "generation": generation}).encode())
        own.move(new, own, TOKEN)
        own.sync()


def _own_folder(store: Folder) -> Folder:
    """Open the folder of ours at the top of the store; whatever else has its name is removed."""
    try:
        return store.work_folder(RESERVED)
    except Problem:
        unmark(store)
        return store.work_folder(RESERVED)


def unmark(store: Folder) -> None:
    """Take the token away, and the folder that it is in."""
    store.remove_tree(RESERVED)


def read(store: Folder) -> dict[str, Any] | None:
    """Return what the token in the store says, or None where there is none that root wrote and that can be read.

    It says of the local store what the journal did, and of which generation its folder is.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError), store.file(f"{RESERVED}/{TOKEN}") as file:
        if os.fstat(file.fileno()).st_uid == os.geteuid():
            found = json.loads(file.read(LONGEST))
            return found if isinstance(found, dict) else None
    return None


def is_it(store: Folder, known: LocalStore | None) -> bool:
    """Return whether the folder is the local copy that the journal knows: by its token, and where not, by its inode."""
    if known is None:
        return False
    found = read(store)
    if known.token and found and token_of(found) == known.token:
        return True
    return known.inode is not None and store.metadata().st_ino == known.inode


def token_of(found: dict[str, Any]) -> str:
    """Return the token itself of what `read` returned."""
    store = found.get("store")
    return str(store.get("token", "")) if isinstance(store, dict) else ""


def generation_of(store: Folder) -> int:
    """Return the generation that the token in the folder says, or 0 where none does."""
    found = (read(store) or {}).get("generation")
    return found if isinstance(found, int) else 0


def is_at(parent: Folder, name: str, known: LocalStore | None) -> bool:
    """Return whether the folder of that name is the local copy that the journal knows; nothing and links are not."""
    try:
        with parent.folder(name) as store:
            return is_it(store, known)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_disk_there(backup: Path, known: LocalStore | None) -> bool:
    """Return whether the folder that `backup` is in is on the media's disk: by its inode, or a local copy in it.

    Before that disk is mounted, another folder may lie at the same path.
    """
    try:
        with beside(backup) as (parent, name):
            if known is not None and known.parent and parent.metadata().st_ino == known.parent:
                return True
            with parent.folder(name) as copy:
                return is_it(copy, known) or read(copy) is not None
    except OSError:
        return False


def of_document(found: Any) -> LocalStore | None:
    """Return the local store that a document describes, or None where it describes none."""
    try:
        return LocalStore(**found)
    except TypeError:
        return None
