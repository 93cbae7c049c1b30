"""This module ends the way home once the local store serves: the mount goes, and both sides are compared once more.

What is true if the power fails: the local store serves. What nobody told of in the window is in the bucket still, and
the journal owes the listing that finds it: the next run brings it home.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..copying.progress import Progress
from ..host.linked import Store
from ..media import checksums
from ..media.equality import Manifest
from ..media.listing import load_media, rebuilt
from ..media.walk import file_at, walk
from ..model.errors import Problem
from ..model.items import Entry
from ..model.phases import Owed
from ..serving import mount
from ..state.run import Run
from . import pending, unaccounted
from .pull import fetch


def settle(run: Run) -> tuple[int, int]:
    """Bring home what nobody told of, set aside what was purged while live, and remember what is equal on both sides.

    Return how many files are in the local store, and their bytes. Raises `Problem` where something did not come home.
    """
    root, journal = run.server.store_path, run.journal
    mount.leave(run.server, run.say)
    pending.remove_caches(run)
    with run.server.manifest() as manifest, Store.at(root) as store:
        if Owed.LISTING in journal.owed:
            _look_again(run, manifest, store)
            journal.owed.discard(Owed.LISTING)
            journal.save()
        unaccounted.set_aside_here(run, manifest, store, _unchanged(manifest, store, manifest.gone_remotely()))
        files, size = manifest.load_local(walk(root, run.settings.copy.exclude))
        checksums.settle(manifest, run.bucket, root)
        manifest.mark_equal()
    run.checked("restore")
    return files, size


def settle_owed(run: Run) -> None:
    """Do what a way home owes that was interrupted. Raises what `settle` does."""
    settle(run)


def _look_again(run: Run, manifest: Manifest, store: Store) -> None:
    """List the bucket, and bring home what came there before the local store served, and nobody told of.

    The manifest has the walk from before that: what changed here since is newer, and stays.
    """
    load_media(manifest, run.bucket, rebuilt(run.settings.copy.exclude))
    checksums.settle(manifest, run.bucket, store.path)
    newer = manifest.newer_locally()
    missed = [path for path in manifest.missing_locally() if store.find(path) is None]
    missed += [path for path in _unchanged(manifest, store, manifest.different()) if path not in newer]
    if not missed:
        return
    run.say(f"restore: {len(missed):,} files came to the bucket and nobody told of them, {missed[0]!r} first")
    progress = Progress(len(missed), manifest.remote_bytes(missed))
    fetched = fetch(run, manifest, store.path, missed, progress, None)
    if fetched < len(missed):
        raise Problem(
            f"{len(missed) - fetched:,} objects did not come home, though the local store serves: {missed[0]!r} may be "
            "among them",
            "run pulumi up again; they are in the bucket",
        )


def _unchanged(manifest: Manifest, store: Store, paths: Iterable[str]) -> list[str]:
    """Return those of the paths whose files here are what the manifest's walk saw."""

    def same(known: Entry) -> bool:  # on some file systems inodes follow from the path, which is another one by now
        return [found._replace(inode=known.inode) for found in file_at(store, known.path)] == [known]

    return [entry.path for entry in manifest.local(paths) if same(entry)]
