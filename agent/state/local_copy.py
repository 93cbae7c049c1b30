"""This module knows the local copy of the media store from any other folder that has its name.

A token lies in a folder of ours at its top, and in the journal. Inodes alone would not do: on some file systems they
follow from the path (mergerfs), and a number may be given to another folder later. Where somebody removed the token,
the inode still tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..host.beneath import Folder
from ..model.layout import RESERVED
from .records import LocalStore

if TYPE_CHECKING:
    from .journal import Journal

#: The file in the folder of ours; it also says whose the media store is, should the journal be lost.
TOKEN = "local-copy.json"
#: A token is far shorter than this many bytes.
LONGEST = 4096


def mark(journal: Journal, store: Folder) -> None:
    """Lay a new token in the store, which is the local copy from now on, and note it in the journal.

    If the power fails before the journal is saved, the inode tells. Raises `Problem` where something else has the name
    of the folder of ours.
    """
    journal.note_local_copy(secrets.token_hex(16), store.metadata().st_ino)
    known = journal.local_store
    assert known
    unmark(store)
    with store.work_folder(RESERVED) as own:
        document = {"store": asdict(known), "generation": journal.generation + 1}
        own.write(TOKEN, json.dumps(document).encode())


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
    """Return whether the folder is the local copy that the journal knows."""
    if known is None:
        return False
    found = read(store)
    if known.token and found and token_of(found):
        return token_of(found) == known.token
    return store.metadata().st_ino == known.inode


def token_of(found: dict[str, Any]) -> str:
    """Return the token itself of what `read` returned."""
    store = found.get("store")
    return str(store.get("token", "")) if isinstance(store, dict) else ""


def is_newer(store: Folder, generation: int) -> bool:
    """Return whether the folder was marked as the local copy after the server had that generation."""
    found = read(store)
    return found is not None and isinstance(found.get("generation"), int) and found["generation"] > generation


def is_at(parent: Folder, name: str, known: LocalStore | None) -> bool:
    """Return whether the folder of that name is the local copy that the journal knows; nothing and links are not."""
    try:
        with parent.folder(name) as store:
            return is_it(store, known)
    except (FileNotFoundError, NotADirectoryError):
        return False


def of_document(found: Any) -> LocalStore | None:
    """Return the local store that a document describes, or None where it describes none."""
    try:
        return LocalStore(**found)
    except TypeError:
        return None
