"""This module removes the local copy, after one more full comparison.

What is true if the power fails: the bucket serves throughout. Until the rename nothing changed; after it, files that
were compared and did not change since are unlinked one by one, and a later run compares what is left anew, or fetches
what is missing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.beneath import Folder
from ..host.linked import Store
from ..media import names
from ..media.equality import Manifest
from ..media.listing import REBUILT, load_media
from ..media.walk import entry, walk
from ..model.errors import Problem
from ..serving import disk
from ..state import local_copy
from ..state.run import Run
from . import survey, unaccounted
from .aside import keep, parent_of_store

if TYPE_CHECKING:
    from ..model.protocol import Counts


def clean(run: Run) -> Counts | None:
    """Go from live to clean: compare each file of the local copy, remove it, and return the numbers, if any.

    Raises `Problem` where a file is not accounted for, before any is removed, and where files came after the
    comparison.
    """
    unaccounted.pay_purges(run)
    backup, removing = run.server.backup_path, run.settings.host.removing_path
    with parent_of_store(run.server) as parent:
        is_whole, is_begun = parent.has_folder(backup.name), parent.has_folder(removing.name)
    if is_whole and is_begun:
        raise Problem(f"both {backup} and {removing} exist", "look what is in the second, and move it away")
    root = backup if is_whole else removing
    counts = _compare_and_remove(run, root, removing) if is_whole or is_begun else None
    run.journal.note_local_copy("", None)  # its inode may be given to a folder that is no local store
    run.say("clean: the local copy is gone; the bucket is the only place of the media store")
    return counts


def _compare_and_remove(run: Run, root: Path, removing: Path) -> Counts:
    exclude = run.settings.copy.exclude
    with run.server.manifest() as manifest:
        files, size = manifest.load_local(walk(root, exclude))
        load_media(manifest, run.bucket, exclude)
        survey.compare(run, manifest, root, "clean")
        only_local, different = manifest.missing_remotely(), manifest.different()
        purged = unaccounted.purged_of_ours(run, manifest, only_local, "the bucket")
        open_names = [path for path in only_local if path not in purged] + different
        if open_names := unaccounted.unconfirmed(run, open_names):
            unaccounted.refuse(run, open_names, "nothing was removed")
        equal, _ = manifest.equal()
        run.say(
            f"clean: {equal:,} of {files:,} files, {size / 1e6:,.1f} MB compared equal; {len(purged):,} were purged"
        )
        run.checked("clean")
        _remove(run, manifest, root, removing)
    return {"compared": equal, "purged": len(purged), "files": files, "bytes": size}


def _remove(run: Run, manifest: Manifest, root: Path, removing: Path) -> None:
    """Remove what was compared, and keep what the stack left out. Raises `Problem` where something else is there."""
    with parent_of_store(run.server) as parent:
        if root != removing:
            disk.move(run.server, parent, root.name, removing.name)
        with Store.at(removing) as copy:
            local_copy.unmark(copy)
            _unlink_compared(copy, manifest)
            for name in run.settings.copy.exclude:
                if name in REBUILT:
                    copy.remove_tree(name)
                elif name in copy.links:
                    run.say(f"clean: {name} was left out by the stack; it stays in {copy.links[name]}")
                elif copy.find(name) is not None:
                    kept = keep(run, copy, name, "left-out")
                    run.say(f"clean: {name} was left out by the stack, so not compared; it is kept in {kept}")
            for name in filter(names.is_media, copy.names()):
                _remove_empty(copy, name)
            _take_links_away(run, copy)
            if disk.is_one(run.server) and not any(map(names.is_media, copy.names())):
                # The disk stays, and is root's from now on. Should the media come back, they arrive in a folder in it
                # with the owner's rights, who so must be able to go through.
                copy.give((0, 0), 0o711)
                disk.move(run.server, parent, removing.name, run.settings.host.incomplete_path.name)
        with contextlib.suppress(OSError):  # not empty: reported below
            parent.remove_empty(removing.name)
        parent.sync()
        if parent.find(removing.name) is not None:
            raise Problem(
                f"{removing} holds files that came after the comparison",
                "look at them; move them away or run pulumi up again",
            )


def _unlink_compared(copy: Folder, manifest: Manifest) -> None:
    """Remove each file only if it is the very one that was compared.

    To remove one of its names changes the time of a file that has others (hard links), and nothing else of it.
    """
    touched: set[int] = set()
    for known in manifest.all_local():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            info = copy.metadata(known.path)
            found = entry(known.path, info)
            if found == known or known.inode in touched and found._replace(ctime=known.ctime) == known:
                if info.st_nlink > 1:
                    touched.add(known.inode)
                copy.remove_file(known.path)


def _take_links_away(run: Run, copy: Store) -> None:
    """Remove the links to folders on another disk that are empty now, once the journal knows them for the way home."""
    known = run.journal.local_store
    compared = [name for name in copy.links if name not in run.settings.copy.exclude]
    if known and copy.links and not any(_has_media(copy, name) for name in compared):
        run.journal.note_links({**known.links, **copy.texts})
        run.journal.save()
        copy.take_links_away()


def _has_media(copy: Store, name: str) -> bool:
    with copy.folder(name) as linked:
        return any(map(names.is_media, linked.names()))


def _remove_empty(folder: Folder, name: str) -> None:
    """Remove a folder that has nothing but empty folders in it; what is none stays."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        with folder.folder(name) as inner:
            for each in inner.names():
                _remove_empty(inner, each)
        with contextlib.suppress(OSError):  # not empty: reported by the caller
            folder.remove_empty(name)
