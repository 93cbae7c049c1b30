"""Emptying a bucket that is to be deleted, once the media store is home.

What is true if the power fails: the local store serves before, in and after it, and nothing of it is
touched. What is gone from the bucket was compared with the local store before the first deletion; a
later run compares what is left and goes on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from . import content, media_tables, mirror, owner
from .clean import REBUILT
from .console import Sometimes
from .context import Context
from .errors import Problem
from .places import RESERVED_PREFIX
from .s3 import StoreError
from .tree import walk

#: Versions removed between two looks at the clock.
LOT = 1000


def empty(context: Context) -> None:
    """Remove every object with all its versions, and every unfinished upload."""
    if context.journal.serving != "local":
        raise Problem("the media store still lives in the bucket", "run pulumi up with phase prepare first")
    try:
        owner.check(context)
        _check_all_is_home(context)
        removed = _remove_all(context)
    except StoreError as error:
        if error.code != "NoSuchBucket":
            raise
        removed = 0
    context.say(f"empty: {removed:,} objects, versions and unfinished uploads are gone from the bucket")


def _check_all_is_home(context: Context) -> None:
    """`Problem` unless each object has its equal in the local store, or was put there by this program and purged."""
    migration = context.settings.migration
    rebuilt = tuple(f"{name}/" for name in REBUILT)
    objects = [
        item
        for item in context.bucket.list()
        if not item.key.startswith((RESERVED_PREFIX, *rebuilt)) and not item.key.endswith("/")
    ]
    if not objects:
        return
    root = context.settings.host.store_path
    with context.manifest() as manifest:
        manifest.load_local(walk(root, migration.exclude))
        manifest.load_remote(objects)
        present = set(manifest.missing_locally())
        gone = [path for path in manifest.gone_locally() if path in present]
        mirror.check_deletions(context, manifest.ours(), gone, "the local store")
        content.settle(manifest, context.bucket, root)
        strangers, different = manifest.strangers(), manifest.different()
        purged = media_tables.purged(context, gone, manifest.local_originals())
    if strangers:
        raise Problem(
            f"{len(strangers):,} objects in the bucket are not in the local store and were not put there by this "
            f"program, {strangers[0]!r} first; nothing was removed",
            "fetch or remove them by hand, or set store.onDestroy to retain; then run pulumi up and destroy again",
        )
    if different:
        raise Problem(
            f"{len(different):,} files of the local store differ from the bucket, {different[0]!r} first; "
            "nothing was removed",
            "look which is right; pulumi up with phase mirror copies the local ones, and then destroy goes on",
        )
    unresolved = [path for path in gone if path not in purged.union(migration.confirmed)]
    if unresolved:
        raise Problem(
            f"{len(unresolved):,} files that were here once are in the bucket only, and Synapse's database does not "
            f"say that they were purged, {unresolved[0]!r} first; nothing was removed",
            "look why they are gone here; name in migration.confirmed those that may go, run pulumi up, then destroy",
        )


def _remove_all(context: Context) -> int:
    removed, progress = 0, Sometimes(context.say)
    remainders = context.bucket.remainders()
    with ThreadPoolExecutor(content.THREADS) as pool:
        while lot := list(islice(remainders, LOT)):
            list(pool.map(context.bucket.remove, lot))
            removed += len(lot)
            progress.say(f"empty: {removed:,} objects and versions are gone so far")
    return removed
