"""This module brings what is new or different in the bucket to a local copy.

What is true if the power fails: files arrive in a folder beside the copy and are moved into it once they were checked;
what an interrupted run left there is taken first, if it is whole. No file of the copy is lost: a replaced one is kept
in a dated folder, and one that is known to be newer than its object is not replaced. The program that fetches has the
rights of the store's owner and no others, so what it writes to is the owner's; nothing else is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..copying.progress import Progress
from ..host.beneath import NEW, Folder
from ..host.files import SPARE_BYTES
from ..host.linked import Store
from ..media import checksums
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.listing import load_media, rebuilt
from ..media.walk import walk
from ..model.errors import CommandFailed, Problem
from ..model.items import Object
from ..serving import disk
from ..state.run import Run
from . import changes, unaccounted
from .aside import keep_linked, place_beside
from .window import Clock, check_of

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
    wanted: list[str] = []
    # What people put into a folder that is left out, while the bucket served, comes home too.
    exclude, limit = rebuilt(run.settings.copy.exclude), run.settings.migration.deletion_limit_percent
    for turn in range(1, ROUNDS + 1):
        with run.server.manifest() as manifest:
            manifest.load_local(walk(root, exclude))
            if clock and turn > 1:  # nobody writes: a large bucket is listed once
                checksums.ask(manifest, run.bucket, wanted)
            else:
                left = load_media(manifest, run.bucket, exclude)
                for line in left.lines() if turn == 1 and not clock else []:
                    run.say(f"restore: {line}")
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
            unaccounted.refuse_archived(manifest.archived(wanted))
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
            progress = Progress(len(wanted), manifest.remote_bytes(wanted))
            run.say(f"restore: {progress.files:,} files, {progress.bytes / 1e6:,.1f} MB to fetch")
            fetched += fetch(run, manifest, root, wanted, progress, clock)
    raise AssertionError("unreachable")


def _check_space(run: Run, manifest: Manifest, root: Path, wanted: Sequence[str]) -> None:
    with Store.at(root) as copy:
        for top, names in _by_disk(copy, wanted).items():
            asked, told = (copy.links[top], copy.links[top]) if top else disk.where(run.server)
            size, free = manifest.remote_bytes(names), shutil.disk_usage(asked).free
            if free < size + SPARE_BYTES:
                raise no_room(size, free, told)


def _by_disk(copy: Store, paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths by the link at the store's top that they are behind; the name is empty for those behind none."""
    found: dict[str, list[str]] = {}
    for path in paths:
        top = path.partition("/")[0]
        found.setdefault(top if top in copy.links else "", []).append(path)
    return found


def no_room(size: int, free: int, where: Path) -> Problem:
    """Return the `Problem` of a disk that has not room for what must come back; both sizes are in bytes."""
    return Problem(
        f"{size / 1e6:,.0f} MB must come back from the bucket, and {free / 1e6:,.0f} MB are free at {where}",
        f"free {(size + SPARE_BYTES - free) / 1e6:,.0f} MB more there, then run pulumi up again; the bucket serves on, "
        "nothing was stopped",
    )


def fetch(
    run: Run,
    manifest: Manifest,
    root: Path,
    wanted: list[str],
    progress: Progress,
    clock: Clock | None,
    one_by_one: bool = False,
) -> int:
    """Download beside the local copy, check, then move each file into place, lot by lot; return how many were moved.

    The manifest has what the bucket says of them. With `one_by_one` they are few: sooner than a program that copies has
    begun. Raises `Problem` where the disk has no room.
    """
    _check_space(run, manifest, root, wanted)
    manifest.add_sent(wanted)
    with Store.at(root) as copy:
        by_disk = _by_disk(copy, wanted).values()
        return sum([_fetch_to_disk(run, manifest, copy, names, progress, clock, one_by_one) for names in by_disk])


def _fetch_to_disk(
    run: Run,
    manifest: Manifest,
    copy: Store,
    wanted: list[str],
    progress: Progress,
    clock: Clock | None,
    one_by_one: bool,
) -> int:
    place, prefix = place_beside(run, copy, wanted[0])
    name = f"{prefix}.incoming"
    with Folder.at(place) as holder, holder.work_folder(name, 0o711) as work:
        if other := {*work.names()} - {ARRIVING, NEW}:
            raise Problem(
                f"{work.path} holds {min(other)!r}, which this program did not put there",
                "look what it is, move it away",
            )
        work.make(ARRIVING, run.journal.owner, 0o700)
        with work.folder(ARRIVING) as incoming:
            fetch, placed = _Fetch(run, manifest, copy, incoming, work, one_by_one), 0
            for start in range(0, len(wanted), LOT):
                placed += fetch.lot(wanted[start : start + LOT], progress, clock)
        holder.remove_tree(name)
    return placed


@dataclass
class _Fetch:
    """This class fetches files for the local copy `copy`: they arrive in `incoming`, which is in root's `work`."""

    run: Run
    manifest: Manifest
    copy: Store
    incoming: Folder
    work: Folder
    one_by_one: bool

    def lot(self, lot: list[str], progress: Progress, clock: Clock | None) -> int:
        """Fetch these files and move them into place; return how many were moved."""
        run, manifest = self.run, self.manifest
        check = check_of(clock)
        here = self._place_arrived(lot, check)
        progress.add(len(here), manifest.remote_bytes(here))
        rest = [path for path in lot if path not in here]
        if rest:
            try:
                objects = list(manifest.remote(rest))
                deadline = clock.deadline if clock else None
                if self.one_by_one:
                    self._get(rest, check)
                else:
                    run.copier.download(self.incoming.path, objects, run.journal.owner, progress, deadline)
            except CommandFailed as error:
                run.say(f"restore: {error}; trying again")  # the next round sees what is missing
                next(run.bucket.list(page=1), None)  # a store that is gone ends it here, not lot by lot
        return len(here) + len(self._place_arrived(rest, check))

    def _get(self, paths: Sequence[str], check: Callable[[], None]) -> None:
        """Fetch files of the owner's, each by one request."""
        owner = self.run.journal.owner

        def get(path: str) -> None:
            check()
            body = self.run.bucket.get(path)
            if body is not None:  # else it is deleted by now
                with contextlib.suppress(OSError):  # left by an interrupted run
                    self.incoming.remove_file(path)
                self.incoming.write(path, body, 0o600, owner)

        for above in {path.rpartition("/")[0] for path in paths} - {""}:
            self.incoming.make(above, owner, 0o700, self.work)
        with ThreadPoolExecutor(changes.AT_ONCE) as pool:
            for _ in pool.map(get, paths):
                pass

    def _place_arrived(self, paths: list[str], check: Callable[[], None]) -> set[str]:
        """Move those into place that lie in `incoming` with the object's content, and return their names.

        What was compared is not noted as the local file's checksum: until it is in place its owner may rewrite it. It
        is read again.
        """
        expected = {item.key: item for item in self.manifest.remote(paths)}

        def compare(path: str) -> list[tuple[str, str]]:
            item = expected[path]
            try:
                with self.incoming.file(path) as file:
                    md5, parts = checksums.checksums(file, item.size, check)
            except OSError:
                return []  # deleted in the bucket meanwhile, or it failed
            return [(path, md5)] if item.etag in (md5, parts) or self.run.bucket.md5(path) == md5 else []

        with ThreadPoolExecutor(checksums.THREADS) as pool:
            arrived = [row for rows in pool.map(compare, paths) for row in rows]
        if arrived and not self.one_by_one:
            self.run.system.sync()  # what is in place must be whole after a power loss
        replaced = [kept for path, _ in arrived for kept in self._place(path)]
        if replaced:
            many = f"{len(replaced):,} files here were not as in the bucket"
            self.run.say(f"restore: {many}; the old ones are kept in {', '.join(sorted({*map(str, replaced)}))}")
        if self.one_by_one:
            self._sync_folders([path for path, _ in arrived])
        self.manifest.add_read((path, expected[path].etag, md5) for path, md5 in arrived)
        return {path for path, _ in arrived}

    def _sync_folders(self, paths: Sequence[str]) -> None:
        """Return once the files have their names on disk, and so have the folders that they are in."""
        above = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
        for folder in sorted(above):
            with self.copy.folder("" if folder == "." else folder) as opened:
                opened.sync()

    def _place(self, path: str) -> list[Path]:
        """Move a file into place, and return where another one is kept that it replaced, if it did."""
        owner, mode = self.run.journal.owner, self.run.journal.mode
        above, _, _ = path.rpartition("/")
        if above:
            self.copy.make(above, owner, mode, self.work)
        self.incoming.set_mode(path, owner.uid, mode & 0o666)
        kept = []
        if self.copy.find(path) is not None:  # the first is the old local one; later ones came after
            kept.append(keep_linked(self.run, self.copy, path, "replaced"))
        self.incoming.move(path, self.copy, path)
        return kept
