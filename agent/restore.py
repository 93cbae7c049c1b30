"""The way back: what the bucket holds comes to the local copy, which becomes the media store again.

What is true if the power fails: until `swapping` the bucket serves and the local copy only gained
files; from `swapping` on the local copy is complete, and recovery finishes the swap. No local file is
ever unlinked: what was replaced or is gone from the bucket moves to dated folders beside the store.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import content, copying, mirror, mount, pace, proof, recovery, services
from .context import Context, Stopwatch
from .errors import Problem
from .files import rename, sync_folder
from .manifest import Manifest
from .preflight import SPARE_BYTES
from .s3 import Object
from .system import CommandFailed
from .tree import entry, walk

#: Files fetched before they are checked and moved into place.
LOT = 5000
#: Rounds of fetching before an object that never arrives whole is an error.
ROUNDS = 4


def incomplete_path(context: Context) -> Path:
    """A local copy that is still being filled, after `clean`."""
    backup = context.settings.host.backup_path
    return backup.with_name(backup.name + ".incomplete")


def removing_path(context: Context) -> Path:
    """A local copy that `clean` was removing."""
    backup = context.settings.host.backup_path
    return backup.with_name(backup.name + ".removing")


def refill(context: Context) -> None:
    """clean -> live: a whole local copy again, while the bucket serves."""
    backup, incomplete = context.settings.host.backup_path, incomplete_path(context)
    if not backup.exists():
        if removing_path(context).exists() and not incomplete.exists():
            rename(removing_path(context), incomplete)
        _own_folder(context, incomplete)
        pull(context, incomplete)
        rename(incomplete, backup)


def back_to_local(context: Context, start: Sequence[str] = ()) -> None:
    """live -> mirror. `start` names units to start afterwards even if they do not run now."""
    refill(context)
    pull(context, context.settings.host.backup_path)
    pace.at_once(context)  # not to be asked in the window
    with context.hurrying():
        _swap_back(context, start)
    mount.start_staging(context)
    _learn(context)


def _swap_back(context: Context, start: Sequence[str]) -> None:
    """The window: services stop, the last uploads come home, the local copy is the store again."""
    journal, backup = context.journal, context.settings.host.backup_path
    down = Stopwatch()
    try:
        services.take_down(context, "restore", start)
        work = Stopwatch()
        assert journal.step
        fetched = pull(context, backup, window=True)
        set_aside_gone(context, backup)
        context.system.sync()
        journal.facts["store_inode"] = backup.stat().st_ino
        journal.step.stage = "swapping"
        context.save()
        recovery.bring_local_copy_home(context)
    except BaseException:
        recovery.recover(context)
        raise
    journal.facts["last"] = {"window_seconds": work.seconds, "window_files": fetched}
    journal.step.stage, journal.serving, journal.phase = "starting", "local", "mirror"
    journal.facts["remount"] = False
    journal.generation += 1
    context.save()
    units = journal.step.units
    context.system.start(units, timeout=context.settings.host.start_seconds)
    journal.step = None
    context.save()
    if units:
        proof.wait_for_homeserver(context)
    journal.facts["last"]["services_stopped_seconds"] = down.seconds
    context.save()
    context.say(f"restore: the local store serves again; services were stopped for {down.seconds:.1f} s")


def _learn(context: Context) -> None:
    """Remember what is equal on both sides now, so that later deletions are understood."""
    root = context.settings.host.store_path
    with context.manifest() as manifest:
        files, size = manifest.load_local(walk(root, context.settings.migration.exclude))
        content.settle(manifest, context.bucket, root)
        manifest.learn()
    context.checked("restore")
    context.journal.facts["last"].update(files=files, bytes=size)
    context.save()


def pull(context: Context, root: Path, window: bool = False) -> int:
    """Bring what is new or different in the bucket to the local copy; returns the number of files.

    Outside the window people upload all the time: what came in the last round is left to the window, in
    which nothing may be missing.
    """
    fetched, tries = 0, Counter[Object]()
    for turn in range(1, ROUNDS + 1):
        with context.manifest() as manifest:
            manifest.load_local(walk(root, context.settings.migration.exclude))
            manifest.load_remote(mirror.listed(context))
            if window and turn == 1:
                context.start_clock()  # the listing of a large bucket is no fault of the store
            context.check_clock()
            mirror.check_deletions(context, manifest.ours(), manifest.lost_remotely(), "the bucket")
            content.settle(manifest, context.bucket, root)
            wanted = manifest.missing_locally() + manifest.different()
            if not wanted:
                return fetched
            if turn == ROUNDS:
                stuck = [item.key for item in manifest.remote(wanted) if tries[item] == ROUNDS - 2]
                if not stuck and not window:
                    return fetched
                wanted = stuck or wanted
                raise Problem(
                    f"{len(wanted):,} objects did not arrive whole after {turn - 1} rounds, {wanted[0]!r} among them",
                    "see journalctl -u matrix-media-store-converge on the server; the bucket serves on",
                )
            if turn > 1:  # the first round may be of a million
                tries.update(manifest.remote(wanted))
            size = manifest.remote_bytes(wanted)
            _check_space(context, size)
            context.say(f"restore: {len(wanted):,} files, {size / 1e6:,.1f} MB to fetch")
            fetched += _fetch(context, manifest, root, wanted, copying.Progress(len(wanted), size))
    raise AssertionError("unreachable")


def _check_space(context: Context, size: int) -> None:
    parent = context.settings.host.store_path.parent
    free = shutil.disk_usage(parent).free
    if free < size + SPARE_BYTES:
        raise Problem(
            f"{size / 1e6:,.0f} MB must come back from the bucket, and {free / 1e6:,.0f} MB are free at {parent}",
            "free or add disk space there; the bucket serves on, nothing was stopped",
        )


def _fetch(context: Context, manifest: Manifest, root: Path, wanted: list[str], progress: copying.Progress) -> int:
    """Download beside the local copy, check, then move each file into place, lot by lot.

    What an interrupted run left there is taken first, if it is whole.
    """
    incoming = root.with_name(root.name + ".incoming")
    _own_folder(context, incoming)
    manifest.add_sent(wanted)
    placed = 0
    for start in range(0, len(wanted), LOT):
        lot = wanted[start : start + LOT]
        here = _place_arrived(context, manifest, root, incoming, lot)
        progress.add(len(here), manifest.remote_bytes(here))
        rest = [path for path in lot if path not in here]
        if rest:
            try:
                copying.download(context, incoming, list(manifest.remote(rest)), progress)
            except CommandFailed as error:
                context.say(f"restore: {error}; trying again")  # the next round sees what is missing
                next(context.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
        placed += len(here) + len(_place_arrived(context, manifest, root, incoming, rest))
    shutil.rmtree(incoming)
    return placed


def _place_arrived(context: Context, manifest: Manifest, root: Path, incoming: Path, paths: list[str]) -> set[str]:
    """Move into place those that lie in `incoming` with the object's content."""
    expected = {item.key: item for item in manifest.remote(paths)}

    def compare(path: str) -> list[tuple[Path, str, str, str]]:
        source = incoming / path
        if not source.is_file():
            return []  # deleted in the bucket meanwhile, or it failed
        md5, parts = content.checksums(source, source.stat().st_size)
        etag = expected[path].etag
        return [(source, path, md5, parts)] if etag in (md5, parts) or context.bucket.md5(path) == md5 else []

    with ThreadPoolExecutor(content.THREADS) as pool:
        arrived = [row for rows in pool.map(compare, paths) for row in rows]
    if arrived:
        context.system.sync()  # a checksum must not outlive a power loss that its content did not
    for source, path, _, _ in arrived:
        _place(context, root, path, source)
    manifest.add_prints((entry(root, path), md5, parts) for _, path, md5, parts in arrived)
    manifest.add_read((path, expected[path].etag, md5) for _, path, md5, _ in arrived)
    return {path for _, path, _, _ in arrived}


def _place(context: Context, root: Path, path: str, source: Path) -> None:
    uid, gid = context.owner
    target = root / path
    _own_folders(context, root, target.parent)
    os.chown(source, uid, gid)
    os.chmod(source, context.journal.facts["mode"] & 0o666)
    if target.exists():
        kept = dated_folder(context, "replaced") / path
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():  # the first is the old local one; later ones came from the bucket
            os.link(target, kept)
    os.replace(source, target)


def set_aside_gone(context: Context, root: Path) -> None:
    """What is gone from the bucket (purged while live) must not come back: out of the store, not deleted."""
    with context.manifest() as manifest:
        gone = manifest.gone_remotely()
        mirror.check_deletions(context, manifest.ours(), gone, "the bucket")
    if gone:
        folder = dated_folder(context, "removed")
        context.say(f"restore: {len(gone):,} files were purged while live; they are kept in {folder}")
        for path in gone:
            kept = folder / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.rename(root / path, kept)


def dated_folder(context: Context, kind: str) -> Path:
    """One folder a run and kind beside the store; root's own."""
    store = context.settings.host.store_path
    folder = store.with_name(f"{store.name}-{kind}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(context.started))}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _own_folder(context: Context, folder: Path) -> None:
    uid, gid = context.owner
    folder.mkdir(exist_ok=True)
    folder.chmod(context.journal.facts["mode"])
    os.chown(folder, uid, gid)
    sync_folder(folder.parent)


def _own_folders(context: Context, root: Path, folder: Path) -> None:
    if folder != root and not folder.is_dir():
        _own_folders(context, root, folder.parent)
        _own_folder(context, folder)
