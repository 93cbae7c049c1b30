"""This module lets a store go that the media do not lie in any more: it gives the bucket free, or empties it.

What is true if the power fails: the media lie in the local store or in another bucket, and that is not touched. What is
gone from the bucket was compared with them before the first deletion; a later run compares what is left and goes on.
"""

from __future__ import annotations

from dataclasses import replace

from ..media import objects
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.listing import REBUILT, MediaObjects
from ..model.errors import Problem, StoreError
from ..model.phases import Side
from ..model.settings import StoreSettings
from ..state import moving
from ..state.run import Run
from ..store import ownership
from ..store.bucket import STORE_TROUBLE
from . import empty_bucket, unaccounted
from .across import Stores


def leave(run: Run, serving: StoreSettings, empties: bool) -> None:
    """Give the bucket of `run` free, or with `empties` remove all that is in it; `serving` is the store in use.

    Nothing is done to the store in use, nor to a bucket that is not this server's. Raises `Problem` where the bucket is
    to be emptied and an object in it is not accounted for; then nothing was removed.
    """
    store = run.settings.store
    if (store.endpoint, store.bucket, store.prefix) == (serving.endpoint, serving.bucket, serving.prefix):
        run.say(f"bucket {store.path} is the one in use: nothing is done to it")
        return
    if empties and moving.read(run.layout):
        raise Problem(
            "a move to another store is not over, and something may be in this one alone",
            "run pulumi up: it goes on with that; or put the store back with onDestroy: retain, run pulumi up, and "
            "take it out then",
        )
    if not empties:
        _give_free(run)
    elif not _is_ours(run):
        run.say(f"bucket {store.path} is gone, or not this server's: nothing is done to it")
    elif run.journal.serving is Side.LOCAL:
        empty_bucket.empty(run)
    else:
        _check_all_is_there(run, serving)
        removed = empty_bucket.remove_all(run)
        run.say(f"bucket {store.path}: {removed:,} objects, versions and unfinished uploads are gone")


def _is_ours(run: Run) -> bool:
    try:
        mark = ownership.read(run.bucket)
    except StoreError as error:
        if error.code != "NoSuchBucket":
            raise
        return False
    return mark is not None and mark.id in run.server.ids


def _give_free(run: Run) -> None:
    store = run.settings.store
    try:
        ownership.release(run.bucket, run.server.ids)
    except (Problem, *STORE_TROUBLE) as error:  # a bucket that cannot be reached any more must not hold the stack back
        run.say(f"bucket {store.path} still names this server as its owner: {error}")
    else:
        run.say(f"bucket {store.path} is given free, with all that is in it")


def _check_all_is_there(run: Run, serving: StoreSettings) -> None:
    """Raise `Problem` unless each object is in the bucket that serves too, or was, and is newer or purged there."""
    settings = replace(run.settings, store=serving)
    if ownership.is_same(run.bucket, run.server.connect(serving)):
        raise Problem(
            f"bucket {run.settings.store.path} is the one in use, by another address; nothing was removed",
            "put the store back with onDestroy: retain, run pulumi up, and take it out then",
        )
    there = replace(run, server=replace(run.server, layout=run.layout.leaving, settings=settings))
    stores = Stores(run, there, left_out=REBUILT)
    moving.forget_manifest(there.server.layout)
    try:
        with there.server.manifest() as manifest:
            files, _ = stores.list_here(manifest)
            stores.list_there(manifest)
            stores.settle(manifest)
            objects.read_again(manifest, run.bucket, manifest.different())
            stores.settle(manifest)
            missing, different = manifest.missing_remotely(), manifest.different()
            with replace(there.server, layout=run.layout.of_move).manifest() as moved, run.server.manifest() as ours:
                older = {path for path in different if _was_moved(manifest, moved, path)}
                # Synapse knows nothing of somebody else's objects either: they are no purged media.
                were = [path for path in missing if ours.is_ours(path) or _was_moved(manifest, moved, path)]
            purged = unaccounted.purged(there, manifest, were)
            check_deletions(settings.migration.deletion_limit_percent, files, [*purged], "the store that serves")
    finally:
        moving.forget_manifest(there.server.layout)
    found = MediaObjects(run.bucket, (), stores.tops())
    for _ in found:
        pass
    if other := run.bucket.first_outside() or found.foreign.first or found.unnameable.first:
        raise Problem(
            f"bucket {run.settings.store.path} would be deleted, and holds other things than media, {other!r} among "
            "them; nothing was removed",
            "take them elsewhere, or put the store back with onDestroy: retain, run pulumi up, and take it out then",
        )
    open_names = [path for path in missing if path not in purged] + [path for path in different if path not in older]
    if open_names := unaccounted.unconfirmed(run, sorted(open_names)):
        raise Problem(
            f"{len(open_names):,} objects of bucket {run.settings.store.path} are not in the store that serves with "
            f"that content, {open_names[0]!r} first; nothing was removed",
            "look what they are; name in migration.confirmed those that may go, or put the store back with onDestroy: "
            "retain, run pulumi up, and take it out then",
        )


def _was_moved(manifest: Manifest, moved: Manifest, path: str) -> bool:
    """Return whether this very content was in the store that serves after a move, so that it has a newer one since."""
    content = {md5 for entry in manifest.local([path]) for _, md5, _ in manifest.checksums([entry])}
    return bool(content & {moved.known_md5(path)})
