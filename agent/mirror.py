"""Everything in the local store is also in the bucket, and was compared. Services run all the time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from . import content, copying
from .context import Context
from .errors import Problem
from .manifest import Manifest
from .places import RESERVED_PREFIX
from .s3 import Object
from .system import CommandFailed
from .tree import walk

#: Rounds of copying and comparing before a file that never becomes equal is an error.
ROUNDS = 4
#: Files and bytes copied in one go. Names cost memory; and what was just read for its checksum is still in the
#: system's cache when it is copied, so that the disk reads it once.
LOT_FILES, LOT_BYTES = 20_000, 1 << 30
#: Fewer deletions than this need no confirmation in small stores, if they are not half of it.
FEW = 20


def listed(context: Context) -> Iterator[Object]:
    """The media store's objects; what the program keeps for itself and what is left out is not among them.

    They come page by page: a million of them at once would take hundreds of MB.
    """
    skip = (RESERVED_PREFIX, *(f"{name}/" for name in context.settings.migration.exclude))
    return (item for item in context.bucket.list() if _is_file_name(item.key) and not item.key.startswith(skip))


def _is_file_name(key: str) -> bool:
    """Whether a key can be a file in the store: not `/etc/passwd`, not `a/../b`, not a folder's mark."""
    return "\0" not in key and not {"", ".", ".."} & set(key.split("/"))


def allowed_deletions(known: int, percent: float) -> int:
    """How many deletions are taken on the word of a listing without confirmation."""
    return max(int(known * percent / 100), min(FEW, known // 2))


def check_deletions(context: Context, known: int, gone: list[str], where: str) -> None:
    """`Problem` where suspiciously many of the known files are gone."""
    limit = allowed_deletions(known, context.settings.migration.deletion_limit_percent)
    if len(gone) > limit:
        raise Problem(
            f"{len(gone):,} of {known:,} known files are gone from {where}, more than the limit of {limit:,}",
            "look why; if that is right, set migration.deletionLimitPercent higher for one run",
        )


def mirror(context: Context) -> dict[str, int]:
    """Copy, compare, repeat until all is equal. Returns files, bytes and what was copied.

    A file that changes meanwhile is left to the window, which sees its newer ctime.
    """
    root = context.settings.host.store_path
    started = time.time_ns()
    copied = copied_bytes = 0
    with context.manifest() as manifest:
        failure = None
        for turn in range(1, ROUNDS + 1):
            files, size = manifest.load_local(walk(root, context.settings.migration.exclude))
            manifest.load_remote(listed(context))
            if turn == 1:
                _remove_purged(context, manifest)
                _refuse_other_keys(context, manifest)
            unreadable = content.settle(manifest, context.bucket, root)
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
                context.say(f"mirror: {len(unreadable):,} objects were stored with another key or none: copying anew")
            context.say(f"mirror: {wrong:,} files, {amount / 1e6:,.1f} MB to copy of {files:,}, {size / 1e6:,.1f} MB")
            failure = _copy(context, manifest, copying.Progress(wrong, amount), copying.method(context, turn == 1))
            copied, copied_bytes = copied + wrong, copied_bytes + amount
        manifest.learn()
        known, known_bytes = manifest.known()
        context.journal.facts["kinds"] = manifest.kinds()
    context.checked("mirror")
    context.say(f"mirror: {known:,} files, {known_bytes / 1e6:,.1f} MB are in the bucket and equal")
    return {"files": known, "bytes": known_bytes, "copied": copied, "copied_bytes": copied_bytes}


def _copy(context: Context, manifest: Manifest, progress: copying.Progress, method: str) -> CommandFailed | None:
    """Copy what is unequal, lot by lot; returns the last failure. What is wrong then is seen by comparing."""
    root, failure = context.settings.host.store_path, None
    at_once = (progress.files, progress.bytes + 1) if method == "b2" else (LOT_FILES, LOT_BYTES)
    for lot in manifest.unequal(*at_once):
        manifest.add_sent(entry.path for entry in lot)
        content.print_files(manifest, root, lot)
        try:
            copying.upload(context, root, lot, progress, method)
        except CommandFailed as error:
            failure = error
            context.say(f"mirror: {' '.join(str(error).split())[:500]} -- comparing what arrived")
            next(context.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
    return failure


def _remove_purged(context: Context, manifest: Manifest) -> None:
    """Take out of the bucket what was known on both sides and is now gone here (purged by Synapse)."""
    present = set(manifest.missing_locally())
    gone = [path for path in manifest.gone_locally() if path in present]
    check_deletions(context, manifest.ours(), gone, "the local store")
    if gone:
        context.say(f"mirror: {len(gone):,} files were purged here; removing them from the bucket")
        content.delete_objects(context.bucket, gone)
        for path in gone:
            manifest.set_remote(path, None)


def _refuse_other_keys(context: Context, manifest: Manifest) -> None:
    """`Problem` for objects that no local file can replace and the mount could not read.

    They would come home with the rest, and cannot.
    """
    names = content.with_other_key(context.bucket, manifest.missing_locally())
    if names:
        have = "store.sseCustomerKey" if context.settings.store.sse_customer_key else "no store.sseCustomerKey"
        raise Problem(
            f"{len(names):,} objects in the bucket were stored with another key, or with none, than the stack has "
            f"({have}), and are not in the local store: {names[0]!r} first",
            "set the key that they were stored with, or remove them from the bucket; then run pulumi up again",
        )
