"""This module brings everything in the local store into the bucket and compares it. Services run all the time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..copying.progress import Progress
from ..copying.transfer import method
from ..host.linked import Store
from ..media import checksums
from ..media.equality import Manifest
from ..media.listing import load_media
from ..media.walk import walk
from ..model.errors import CommandFailed, Problem
from ..model.phases import Milestone
from ..state.run import Run
from . import survey, unaccounted

if TYPE_CHECKING:
    from ..model.protocol import Counts

#: Rounds of copying and comparing before a file that never becomes equal is an error.
ROUNDS = 4
#: Files copied in one go: names cost memory.
LOT_FILES = 20_000
#: Bytes copied in one go, and read for their checksums meanwhile: whichever comes to a file second finds it in the
#: system's cache, so that the disk reads it once.
LOT_BYTES = 1 << 30


def mirror(run: Run) -> Counts:
    """Copy and compare, and repeat until all is equal; return how many files and bytes are equal, and were copied.

    A file that changes meanwhile is left to the window, which sees its newer ctime. Raises `Problem` where files do not
    become equal, too many are gone, or objects cannot be read with the stack's customer key.
    """
    root, exclude = run.server.store_path, run.settings.copy.exclude
    started = time.time_ns()
    copied = copied_bytes = 0
    with run.server.manifest() as manifest:
        failure = None
        for turn in range(1, ROUNDS + 1):
            files, size = manifest.load_local(survey.all_files(run.layout, root, exclude))
            found = load_media(manifest, run.bucket, exclude)
            if turn == 1:
                for line in found.lines():
                    run.say(f"mirror: {line}")
                unaccounted.remove_from_bucket(run, manifest)
                alone = manifest.missing_locally()
                if alone:
                    run.say(f"mirror: {len(alone):,} files are in the bucket alone, and serve from phase live on")
                unaccounted.refuse_archived(manifest.archived(alone))
                _set_aside_purged(run, manifest)
                _refuse_other_keys(run, manifest)
            unreadable = survey.compare(run, manifest, root, "mirror")
            wrong, amount = manifest.find_unequal()
            if not wrong:
                break
            if turn > 1 and not manifest.unequal_before(started):
                break  # written while we copied: the window takes them
            if turn == ROUNDS:
                first = next(manifest.unequal(files=1, size=0))[0].path
                raise Problem(
                    f"{wrong:,} files are not equal in the bucket after {ROUNDS - 1} copies, {first!r} first"
                    + (f" ({failure})" if failure else ""),
                    "see journalctl -u matrix-media-store-converge on the server; nothing was changed there",
                )
            if unreadable:
                run.say(f"mirror: {len(unreadable):,} objects were stored with another key or none: copying anew")
            run.say(f"mirror: {wrong:,} files, {amount / 1e6:,.1f} MB to copy of {files:,}, {size / 1e6:,.1f} MB")
            how = method(run.settings.copy.method, turn == 1)
            failure = _copy(run, manifest, Progress(wrong, amount), how)
            copied, copied_bytes = copied + wrong, copied_bytes + amount
        manifest.mark_equal()
        known, known_bytes = manifest.known()
        run.journal.kinds = manifest.kinds()
    run.checked("mirror")
    run.say(f"mirror: {known:,} files, {known_bytes / 1e6:,.1f} MB are in the bucket and equal")
    run.reached(Milestone.COMPARED, "mirror")
    return {"files": known, "bytes": known_bytes, "copied": copied, "copied_bytes": copied_bytes}


def _copy(run: Run, manifest: Manifest, progress: Progress, method: str) -> CommandFailed | None:
    """Copy what is unequal, lot by lot, and return the last failure; comparing shows what is wrong then."""
    root, failure = run.server.store_path, None
    at_once = (progress.files, progress.bytes + 1) if method == "b2" else (LOT_FILES, LOT_BYTES)
    with ThreadPoolExecutor(1) as beside:
        for lot in manifest.unequal(*at_once):
            manifest.add_sent(entry.path for entry in lot)
            sent = beside.submit(run.copier.upload, root, lot, run.journal.owner, progress, method, None)
            # A file that changes between the two is not equal, whichever read it first.
            checksums.checksum_files(manifest, root, lot)
            try:
                sent.result()
            except CommandFailed as error:
                failure = error
                run.say(f"mirror: {' '.join(str(error).split())[:500]} -- comparing what arrived")
                next(run.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
    return failure


def _set_aside_purged(run: Run, manifest: Manifest) -> None:
    """Set aside what a way home that was interrupted left here, though Synapse purged it while the bucket served."""
    root = run.server.store_path
    with Store.at(root) as store:
        gone = [entry.path for entry in manifest.local(manifest.lost_remotely())]
        if unaccounted.set_aside_here(run, manifest, store, gone):
            manifest.load_local(walk(root, run.settings.copy.exclude))


def _refuse_other_keys(run: Run, manifest: Manifest) -> None:
    """Raise `Problem` for objects that no local file can replace and the mount could not read.

    They would come home with the rest, and cannot.
    """
    untried = manifest.missing_locally_and_untried()  # each was asked for once, if it is what it was
    names = checksums.with_other_key(run.bucket, untried)
    manifest.add_readable({*untried} - {*names})
    if names:
        have = "store.sseCustomerKey" if run.settings.store.sse_customer_key else "no store.sseCustomerKey"
        raise Problem(
            f"{len(names):,} objects in the bucket were stored with another key, or with none, than the stack has "
            f"({have}), and are not in the local store: {names[0]!r} first",
            "set the key that they were stored with, or remove them from the bucket; then run pulumi up again",
        )
