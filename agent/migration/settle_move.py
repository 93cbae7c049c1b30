"""This module ends a move once the new store serves: it looks once more at the store that was left.

What is true if the power fails: the new store serves. What nobody told of in the window is in the store that was left
still, and the journal owes the look that finds it: the next run brings it over.
"""

from __future__ import annotations

from ..copying.progress import Progress
from ..media.equality import Manifest
from ..model.errors import Problem
from ..model.items import Object
from ..model.phases import Owed
from ..state import moving
from ..state.run import Run
from ..store import ownership
from ..store.bucket import STORE_TROUBLE
from . import unaccounted
from .across import Stores


def settle(run: Run, stores: Stores) -> None:
    """Bring over what nobody told of, remove what was purged during the move, and have the local copy's manifest know
    the new store's objects. Raises `Problem` where something does not come over.
    """
    if Owed.LEFT in run.journal.owed:
        with stores.there.server.manifest() as manifest:
            _look_again(stores, manifest)
            unaccounted.remove_from_bucket(stores.there, manifest, "the earlier store", "the new one")
            manifest.mark_equal()
            with run.server.manifest() as known:
                known.move_to(manifest)
        run.journal.owed.discard(Owed.LEFT)
        run.journal.save()
        try:
            ownership.raise_epoch(stores.here.bucket, run.server.ids)
        except (Problem, *STORE_TROUBLE) as error:
            run.say(f"move: the earlier bucket does not say that the media left it: {error}")
    moving.forget(run.layout)
    run.checked("move")
    left = stores.here.settings.store
    run.say(f"move: done; {left.path} at {left.endpoint} keeps all it had until the stack lets it go")


def _look_again(stores: Stores, manifest: Manifest) -> None:
    """List both buckets, and copy what changed in the one that was left, unless the new one has something newer.

    That is whatever is otherwise there than when it was last listed: nobody but the mount writes to it.
    """
    run = stores.here
    stores.list_here(manifest)
    changed = [entry.path for entry in manifest.changed_locally()]
    then = manifest.known_etags(changed)  # as they became equal, and not as an earlier look found them
    stores.list_there(manifest)
    stores.settle(manifest)
    now = {item.key: item.etag for item in manifest.remote(changed)}
    open_names = {*manifest.missing_remotely(), *manifest.different()}
    missed = [path for path in changed if path in open_names and now.get(path) == then.get(path)]
    purged = unaccounted.purged(stores.there, manifest, [path for path in missed if path not in now])
    missed = [path for path in missed if path not in purged]
    if not missed:
        return
    run.say(f"move: {len(missed):,} files came to the earlier store and nobody told of them, {missed[0]!r} first")
    wanted = [Object(entry.path, entry.size, "") for entry in manifest.local(missed)]
    manifest.add_sent(missed)
    stores.send(wanted, Progress(len(wanted), sum(item.size for item in wanted)), None)
    stores.list_there(manifest)
    stores.settle(manifest)
    if left := {*missed} & {*manifest.missing_remotely(), *manifest.different()}:
        raise Problem(
            f"{len(left):,} files did not come over, though the new store serves: {min(left)!r} first",
            "run pulumi up again; they are in the earlier store",
        )
