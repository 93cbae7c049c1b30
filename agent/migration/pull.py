"""This module brings what is new or different in the bucket to a local copy.

What is true if the power fails: files arrive in a folder beside the copy and are moved into it once they were checked;
what an interrupted run left there is taken first, if it is whole. No file of the copy is lost: a replaced one is kept
in a dated folder.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..copying.progress import Progress
from ..host.files import SPARE_BYTES
from ..media import checksums
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.listing import media_objects
from ..media.walk import metadata, walk
from ..model.errors import CommandFailed, Problem
from ..model.items import Object
from ..state.run import Run
from .aside import dated_folder, incoming_path, own_folder, own_folders
from .window import Clock

#: Files fetched before they are checked and moved into place.
LOT = 5000
#: Rounds of fetching before an object that never arrives whole is an error.
ROUNDS = 4


def pull(run: Run, root: Path, clock: Clock | None = None) -> int:
    """Bring what is new or different in the bucket to the local copy at `root`; return the number of files.

    Outside the window, without a clock, people upload all the time: what came in the last round is left to the window,
    in which nothing may be missing. Raises `Problem` where objects do not arrive whole, too many are gone, or the disk
    has no room.
    """
    fetched, tries = 0, Counter[Object]()
    exclude, limit = run.settings.copy.exclude, run.settings.migration.deletion_limit_percent
    for turn in range(1, ROUNDS + 1):
        with run.server.manifest() as manifest:
            manifest.load_local(walk(root, exclude))
            manifest.load_remote(media_objects(run.bucket, exclude))
            if clock:
                if turn == 1:
                    clock.start()  # the listing of a large bucket is no fault of the store
                clock.check()
            check_deletions(limit, manifest.uploaded_count(), manifest.lost_remotely(), "the bucket")
            checksums.settle(manifest, run.bucket, root)
            wanted = manifest.missing_locally() + manifest.different()
            if not wanted:
                return fetched
            if turn == ROUNDS:
                stuck = [item.key for item in manifest.remote(wanted) if tries[item] == ROUNDS - 2]
                if not stuck and not clock:
                    return fetched
                wanted = stuck or wanted
                raise Problem(
                    f"{len(wanted):,} objects did not arrive whole after {turn - 1} rounds, {wanted[0]!r} among them",
                    "see journalctl -u matrix-media-store-converge on the server; the bucket serves on",
                )
            if turn > 1:  # the first round may be of a million
                tries.update(manifest.remote(wanted))
            size = manifest.remote_bytes(wanted)
            _check_space(run, size)
            run.say(f"restore: {len(wanted):,} files, {size / 1e6:,.1f} MB to fetch")
            fetched += _fetch(run, manifest, root, wanted, Progress(len(wanted), size), clock)
    raise AssertionError("unreachable")


def _check_space(run: Run, size: int) -> None:
    parent = run.server.store_path.parent
    free = shutil.disk_usage(parent).free
    if free < size + SPARE_BYTES:
        raise Problem(
            f"{size / 1e6:,.0f} MB must come back from the bucket, and {free / 1e6:,.0f} MB are free at {parent}",
            "free or add disk space there; the bucket serves on, nothing was stopped",
        )


def _fetch(run: Run, manifest: Manifest, root: Path, wanted: list[str], progress: Progress, clock: Clock | None) -> int:
    """Download beside the local copy, check, then move each file into place, lot by lot; return how many were moved."""
    incoming = incoming_path(root)
    own_folder(incoming, run.journal.owner, run.journal.mode)
    manifest.add_sent(wanted)
    placed = 0
    for start in range(0, len(wanted), LOT):
        lot = wanted[start : start + LOT]
        here = _place_arrived(run, manifest, root, incoming, lot)
        progress.add(len(here), manifest.remote_bytes(here))
        rest = [path for path in lot if path not in here]
        if rest:
            try:
                objects = list(manifest.remote(rest))
                run.copier.download(incoming, objects, progress, clock.deadline if clock else None)
            except CommandFailed as error:
                run.say(f"restore: {error}; trying again")  # the next round sees what is missing
                next(run.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
        placed += len(here) + len(_place_arrived(run, manifest, root, incoming, rest))
    shutil.rmtree(incoming)
    return placed


def _place_arrived(run: Run, manifest: Manifest, root: Path, incoming: Path, paths: list[str]) -> set[str]:
    """Move those into place that lie in `incoming` with the object's content, and return their names."""
    expected = {item.key: item for item in manifest.remote(paths)}

    def compare(path: str) -> list[tuple[Path, str, str, str]]:
        source = incoming / path
        if not source.is_file():
            return []  # deleted in the bucket meanwhile, or it failed
        md5, parts = checksums.checksums(source, source.stat().st_size)
        etag = expected[path].etag
        return [(source, path, md5, parts)] if etag in (md5, parts) or run.bucket.md5(path) == md5 else []

    with ThreadPoolExecutor(checksums.THREADS) as pool:
        arrived = [row for rows in pool.map(compare, paths) for row in rows]
    if arrived:
        run.system.sync()  # a checksum must not outlive a power loss that its content did not
    for source, path, _, _ in arrived:
        _place(run, root, path, source)
    manifest.add_checksums((metadata(root, path), md5, parts) for _, path, md5, parts in arrived)
    manifest.add_read((path, expected[path].etag, md5) for _, path, md5, _ in arrived)
    return {path for _, path, _, _ in arrived}


def _place(run: Run, root: Path, path: str, source: Path) -> None:
    owner, mode = run.journal.owner, run.journal.mode
    target = root / path
    own_folders(root, target.parent, owner, mode)
    os.chown(source, *owner)
    os.chmod(source, mode & 0o666)
    if target.exists():
        kept = dated_folder(run, "replaced") / path
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():  # the first is the old local one; later ones came from the bucket
            os.link(target, kept)
    os.replace(source, target)
