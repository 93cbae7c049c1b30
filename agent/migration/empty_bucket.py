"""This module empties a bucket that is to be deleted, once the media store is home.

What is true if the power fails: the local store serves before, in and after it, and nothing of it is touched. What is
gone from the bucket was compared with the local store before the first deletion; a later run compares what is left and
goes on.

Not compared are earlier versions, this program's own objects, folders' marks, and previews that Synapse rebuilds.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ..copying.progress import Sometimes
from ..host.beneath import is_folder
from ..media import checksums
from ..media.listing import REBUILT, load_media
from ..media.walk import walk
from ..model.errors import Problem, StoreError
from ..model.phases import Side
from ..state.run import Run
from ..store import ownership
from . import unaccounted

#: Versions removed between two looks at the clock.
LOT = 1000
#: Listings until nothing is left: the last finds nothing.
ROUNDS = 4


def empty(run: Run) -> None:
    """Remove every object with all its versions, and every unfinished upload.

    Raises `Problem` where an object is not accounted for, or the media store is in the bucket; then nothing was
    removed.
    """
    if run.journal.serving is not Side.LOCAL:
        raise Problem("the media store still lives in the bucket", "run pulumi up with phase prepare first")
    if run.system.layers(run.server.store_path):  # each object would be its own equal
        raise Problem(
            f"something is mounted at {run.server.store_path}: the media store may be the bucket itself",
            "set store.onDestroy to retain and run pulumi up, or unmount it and see that the media are there; then "
            "destroy again",
        )
    try:
        store = run.settings.store
        ownership.check(run.bucket, run.server.ids, store.bucket, store.adopt)
        _check_all_is_home(run)
        removed = remove_all(run)
    except StoreError as error:
        if error.code != "NoSuchBucket":
            raise
        removed = 0
    run.say(f"empty: {removed:,} objects, versions and unfinished uploads are gone from the bucket")


def _check_all_is_home(run: Run) -> None:
    """Raise `Problem` unless each object has its equal in the local store, or is ours and was purged here."""
    root = run.server.store_path
    with run.server.manifest() as manifest:
        manifest.load_local(walk(root, REBUILT) if is_folder(root) else ())
        found = load_media(manifest, run.bucket, REBUILT)
        gone = manifest.gone_locally_but_not_remotely()
        if is_folder(root):
            checksums.settle(manifest, run.bucket, root)
        foreign, different = manifest.foreign_objects(), manifest.different()
        purged = unaccounted.purged_of_ours(run, manifest, gone, "the local store")
    if others := run.bucket.first_outside() or found.foreign.first or found.unnameable.first:
        raise Problem(
            f"destroy would delete bucket {run.settings.store.bucket}, which holds other things than the media store, "
            f"{others!r} among them; nothing was removed",
            "take them elsewhere, or set store.onDestroy to retain and run pulumi up; then run destroy again",
        )
    if foreign:
        raise Problem(
            f"{len(foreign):,} objects in the bucket are not in the local store and were not put there by this "
            f"program, {foreign[0]!r} first; nothing was removed",
            "fetch or remove them by hand, or set store.onDestroy to retain; then run pulumi up and destroy again",
        )
    if different:
        raise Problem(
            f"{len(different):,} files of the local store differ from the bucket, {different[0]!r} first; "
            "nothing was removed",
            "look which is right; pulumi up with phase mirror copies the local ones, and then destroy goes on",
        )
    if unresolved := unaccounted.unconfirmed(run, [path for path in gone if path not in purged]):
        raise Problem(
            f"{len(unresolved):,} files that were here once are in the bucket only, and Synapse's database does not "
            f"say that they were purged, {unresolved[0]!r} first; nothing was removed",
            "look why they are gone here; name in migration.confirmed those that may go, run pulumi up, then destroy",
        )


def remove_all(run: Run) -> int:
    """Remove every object with all its versions, and every unfinished upload; return how many these were.

    It is listed once more: a store may keep the mark of a folder that is removed together with what is in it.
    """
    removed, progress = 0, Sometimes(run.say)
    with ThreadPoolExecutor(checksums.THREADS) as pool:
        for _ in range(ROUNDS):
            remainders, before = run.bucket.remainders(), removed
            while lot := list(islice(remainders, LOT)):
                list(pool.map(run.bucket.remove, lot))
                removed += len(lot)
                progress.say(f"empty: {removed:,} objects and versions are gone so far")
            if removed == before:
                break
    return removed
