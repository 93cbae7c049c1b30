"""The local copy goes, after one more full comparison.

What is true if the power fails: the bucket serves throughout. Until the rename nothing changed; after
it, files that were compared and did not change since are unlinked one by one, and a later run compares
what is left anew, or fetches what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from . import content, media_tables, mirror, restore, unresolved
from .context import Context
from .errors import Problem
from .files import rename, sync_folder
from .restore import removing_path
from .tree import Entry, entry, walk

#: Left out by default and removed uncompared: Synapse rebuilds them and expires them every few seconds.
REBUILT = ("url_cache", "url_cache_thumbnails")


def clean(context: Context) -> None:
    """live -> clean."""
    backup, removing = context.settings.host.backup_path, removing_path(context)
    if backup.exists() and removing.exists():
        raise Problem(f"both {backup} and {removing} exist", "look what is in the second, and move it away")
    root = backup if backup.exists() else removing
    if root.exists():
        _compare_and_remove(context, root, removing)
    context.journal.facts.pop("store_inode", None)  # its number may be given to a folder that is no local store
    context.say("clean: the local copy is gone; the bucket is the only place of the media store")


def _compare_and_remove(context: Context, root: Path, removing: Path) -> None:
    with context.manifest() as manifest:
        files, size = manifest.load_local(walk(root, context.settings.migration.exclude))
        manifest.load_remote(mirror.listed(context))
        mirror.check_deletions(context, manifest.ours(), manifest.gone_remotely(), "the bucket")
        content.settle(manifest, context.bucket, root)
        only_local, different = manifest.missing_remotely(), manifest.different()
        purged = media_tables.purged(context, only_local, manifest.local_originals())
        confirmed = set(context.settings.migration.confirmed)
        open_names = [path for path in only_local if path not in purged | confirmed]
        open_names += [path for path in different if path not in confirmed]
        if open_names:
            unresolved.refuse(context, open_names, "nothing was removed")
        equal, _ = manifest.equal()
        context.say(
            f"clean: {equal:,} of {files:,} files, {size / 1e6:,.1f} MB compared equal; {len(purged):,} were purged"
        )
        context.checked("clean")
        context.journal.facts["last"] = {"compared": equal, "purged": len(purged), "files": files, "bytes": size}
        if root != removing:
            rename(root, removing)
        for known in manifest.all_local():
            _unlink(removing, known)
    for name in context.settings.migration.exclude:
        if name in REBUILT:
            shutil.rmtree(removing / name, ignore_errors=True)
        elif (removing / name).exists():
            kept = restore.dated_folder(context, "left-out") / name
            context.say(f"clean: {name} was left out by the stack, so it was not compared; it is kept as {kept}")
            os.rename(removing / name, kept)
    _remove_empty(removing)
    if removing.exists():
        raise Problem(
            f"{removing} holds files that came after the comparison",
            "look at them; move them away or run pulumi up again",
        )


def _unlink(root: Path, known: Entry) -> None:
    """Only the very file that was compared."""
    with contextlib.suppress(FileNotFoundError):
        if entry(root, known.path) == known:
            os.unlink(root / known.path)


def _remove_empty(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):  # not empty: reported by the caller
            os.rmdir(folder)
    sync_folder(root.parent)
