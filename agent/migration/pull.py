"""This module brings what is new or different in the bucket to a local copy.

What is true if the power fails: files arrive in a folder beside the copy and are moved into it once they were checked;
what an interrupted run left there is taken first, if it is whole. No file of the copy is lost: a replaced one is kept
in a dated folder, and one that is known to be newer than its object is not replaced. The program that fetches has the
rights of the store's owner and no others, so what it writes to is the owner's; nothing else is.
"""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..copying.progress import Progress
from ..host.beneath import Folder
from ..host.files import SPARE_BYTES
from ..media import checksums
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.listing import media_objects
from ..media.walk import metadata, walk
from ..model.errors import CommandFailed, Problem
from ..model.items import Object
from ..state.run import Run
from .aside import dated_folder, incoming_path, keep_linked
from .window import Clock

#: Where files arrive, in a folder of root's.
ARRIVING = "files"
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
            newer = manifest.newer_locally()
            wanted = manifest.missing_locally() + [path for path in manifest.different() if path not in newer]
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
    owner, name = run.journal.owner, incoming_path(root).name
    manifest.add_sent(wanted)
    with Folder.at(root.parent) as beside, beside.work_folder(name, owner, 0o711) as work:
        work.make(ARRIVING, owner, 0o700)
        with work.folder(ARRIVING) as incoming, beside.folder(root.name) as copy:
            placed = 0
            for start in range(0, len(wanted), LOT):
                placed += _fetch_lot(run, manifest, copy, incoming, wanted[start : start + LOT], progress, clock)
        beside.remove_tree(name)
    return placed


def _fetch_lot(
    run: Run,
    manifest: Manifest,
    copy: Folder,
    incoming: Folder,
    lot: list[str],
    progress: Progress,
    clock: Clock | None,
) -> int:
    here = _place_arrived(run, manifest, copy, incoming, lot)
    progress.add(len(here), manifest.remote_bytes(here))
    rest = [path for path in lot if path not in here]
    if rest:
        try:
            objects = list(manifest.remote(rest))
            run.copier.download(incoming.path, objects, progress, clock.deadline if clock else None)
        except CommandFailed as error:
            run.say(f"restore: {error}; trying again")  # the next round sees what is missing
            next(run.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
    return len(here) + len(_place_arrived(run, manifest, copy, incoming, rest))


def _place_arrived(run: Run, manifest: Manifest, copy: Folder, incoming: Folder, paths: list[str]) -> set[str]:
    """Move those into place that lie in `incoming` with the object's content, and return their names."""
    expected = {item.key: item for item in manifest.remote(paths)}

    def compare(path: str) -> list[tuple[str, str, str]]:
        try:
            file = incoming.file(path)
        except OSError:
            return []  # deleted in the bucket meanwhile, or it failed
        with file:
            md5, parts = checksums.checksums(file, expected[path].size)
        etag = expected[path].etag
        return [(path, md5, parts)] if etag in (md5, parts) or run.bucket.md5(path) == md5 else []

    with ThreadPoolExecutor(checksums.THREADS) as pool:
        arrived = [row for rows in pool.map(compare, paths) for row in rows]
    if arrived:
        run.system.sync()  # a checksum must not outlive a power loss that its content did not
    replaced = sum([_place(run, copy, path, incoming) for path, _, _ in arrived])
    if replaced:
        with dated_folder(run, "replaced") as kept:
            run.say(f"restore: {replaced:,} files here were not as in the bucket; the old ones are kept in {kept.path}")
    manifest.add_checksums((metadata(copy, path), md5, parts) for path, md5, parts in arrived)
    manifest.add_read((path, expected[path].etag, md5) for path, md5, _ in arrived)
    return {path for path, _, _ in arrived}


def _place(run: Run, copy: Folder, path: str, incoming: Folder) -> bool:
    """Move a file into place, and return whether it replaced another one, which is kept."""
    owner, mode = run.journal.owner, run.journal.mode
    above, _, _ = path.rpartition("/")
    if above:
        copy.make(above, owner, mode)
    incoming.set_mode(path, owner.uid, mode & 0o666)
    replaces = copy.find(path) is not None
    if replaces:
        with dated_folder(run, "replaced") as kept:  # the first is the old local one; later ones came from the bucket
            keep_linked(copy, path, kept)
    incoming.move(path, copy, path)
    return replaces
