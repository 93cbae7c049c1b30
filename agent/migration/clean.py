"""This module removes the local copy, after one more full comparison.

What is true if the power fails: the bucket serves throughout. Until the rename nothing changed; after it, files that
were compared and did not change since are unlinked one by one, and a later run compares what is left anew, or fetches
what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.files import rename, sync_folder
from ..media import checksums
from ..media.deletions import check_deletions
from ..media.listing import media_objects
from ..media.synapse_db import SynapseDatabase
from ..media.walk import metadata, walk
from ..model.errors import Problem
from ..model.items import Entry
from ..state.run import Run
from . import unaccounted
from .aside import dated_folder, removing_path

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Left out by default and removed uncompared: Synapse rebuilds them and expires them every few seconds.
REBUILT = ("url_cache", "url_cache_thumbnails")


def clean(run: Run) -> Counts | None:
    """Go from live to clean: compare each file of the local copy, remove it, and return the numbers, if any.

    Raises `Problem` where a file is not accounted for, before any is removed, and where files came after the
    comparison.
    """
    backup, removing = run.server.backup_path, removing_path(run.server)
    if backup.exists() and removing.exists():
        raise Problem(f"both {backup} and {removing} exist", "look what is in the second, and move it away")
    root = backup if backup.exists() else removing
    counts = _compare_and_remove(run, root, removing) if root.exists() else None
    run.journal.keep_inode(None)  # its number may be given to a folder that is no local store
    run.say("clean: the local copy is gone; the bucket is the only place of the media store")
    return counts


def _compare_and_remove(run: Run, root: Path, removing: Path) -> Counts:
    exclude, limit = run.settings.copy.exclude, run.settings.migration.deletion_limit_percent
    with run.server.manifest() as manifest:
        files, size = manifest.load_local(walk(root, exclude))
        manifest.load_remote(media_objects(run.bucket, exclude))
        check_deletions(limit, manifest.uploaded_count(), manifest.gone_remotely(), "the bucket")
        checksums.settle(manifest, run.bucket, root)
        only_local, different = manifest.missing_remotely(), manifest.different()
        database = SynapseDatabase(run.settings.host.database, run.system, run.say)
        purged = database.purged(only_local, manifest.local_originals())
        open_names = [path for path in only_local if path not in purged] + different
        if open_names := unaccounted.unconfirmed(run, open_names):
            unaccounted.refuse(run, open_names, "nothing was removed")
        equal, _ = manifest.equal()
        run.say(
            f"clean: {equal:,} of {files:,} files, {size / 1e6:,.1f} MB compared equal; {len(purged):,} were purged"
        )
        run.checked("clean")
        if root != removing:
            rename(root, removing)
        for known in manifest.all_local():
            _unlink(removing, known)
    for name in exclude:
        if name in REBUILT:
            shutil.rmtree(removing / name, ignore_errors=True)
        elif (removing / name).exists():
            kept = dated_folder(run, "left-out") / name
            run.say(f"clean: {name} was left out by the stack, so it was not compared; it is kept as {kept}")
            os.rename(removing / name, kept)
    _remove_empty(removing)
    if removing.exists():
        raise Problem(
            f"{removing} holds files that came after the comparison",
            "look at them; move them away or run pulumi up again",
        )
    return {"compared": equal, "purged": len(purged), "files": files, "bytes": size}


def _unlink(root: Path, known: Entry) -> None:
    """Remove a file only if it is the very one that was compared."""
    with contextlib.suppress(FileNotFoundError):
        if metadata(root, known.path) == known:
            os.unlink(root / known.path)


def _remove_empty(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):  # not empty: reported by the caller
            os.rmdir(folder)
    sync_folder(root.parent)
