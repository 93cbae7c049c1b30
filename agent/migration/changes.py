"""This module brings the bucket what changed since `mirror` compared everything: before the window, and in it.

No listing is asked for. In the window the kernel tells what changed, whatever the store's size; where it does not, one
walk does.

What is true if the power fails: the local store is only read. What was sent to the bucket was noted in the manifest
before; what was proven in the window gets into it at the end or not at all, and is compared anew then. What is gone
from the local store is removed from the bucket outside the window alone, see `unaccounted`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..copying.progress import Progress
from ..host.linked import Store
from ..media import checksums
from ..media.changed import Changed, Look, look_at
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.snapshot import Snapshot
from ..media.walk import file_at, walk
from ..model.errors import CommandFailed, Problem
from ..model.items import Entry, Object
from ..serving.hold import Unfit
from ..state.run import Run
from ..store.bucket import STORE_TROUBLE
from . import unaccounted
from .window import Clock, check_of

if TYPE_CHECKING:
    from ..model.ports import Listener

#: Files, and bytes of them, that are sent one by one; and so many of them at once.
MOST_FILES, MOST_BYTES, AT_ONCE = 128, 16 << 20, 16
#: Seconds that a look at what changed may take while services stand still.
LOOK_SECONDS = 0.5
#: Nanoseconds in which a file may change again and keep its times.
TICK = 20_000_000


@dataclass(frozen=True)
class Baseline:
    """A `Baseline` is what the window goes by: files equal in the bucket, those not yet, and what changed since.

    Its listener must have listened since before the walk that found them.
    """

    equal: Snapshot
    open: list[str]
    #: How many names this program put into the bucket.
    uploaded_count: int
    #: Names of ours that were gone already, and stay in the bucket since nobody purged them.
    gone: frozenset[str]
    #: None where nobody tells, or something may have been missed.
    changed: Changed | None
    #: What was sent since the walk: the file that is equal there by now, or None. For these the walk's word is void: a
    #: folder that comes back from elsewhere has the times that it had.
    sent: dict[str, Entry | None] = field(default_factory=dict)
    #: Names of ours that were found gone in a window that was given up.
    purged: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Found:
    """A `Found` says how many files changed and are gone in the window, and whether a walk found that."""

    changed: int
    gone: int
    walked: bool


def before_window(run: Run, listener: Listener | None) -> tuple[int, Baseline]:
    """Send and compare what changed, while services still write; return how many files that were, and the baseline.

    What does not become equal is left to the window. Raises `Problem` where too many files are gone.
    """
    root = run.server.store_path
    linked: list[str] = []
    with run.server.manifest() as manifest:
        manifest.load_local(walk(root, run.settings.copy.exclude, linked=linked))
        changed = manifest.changed_locally()
        unaccounted.remove_from_bucket(run, manifest)
        manifest.add_sent(entry.path for entry in changed)
        try:
            _send(run, manifest, root, changed, None)
        except CommandFailed as error:
            run.say(f"cutover: {' '.join(str(error).split())[:500]} -- left to the window")
        _compare(run, manifest, root, changed)
        manifest.mark_equal()
        with Store.at(root) as top:
            if top.links:
                run.say(f"cutover: {', '.join(top.links)} are on another disk, so the window will walk")
                listener = None
        if linked:
            run.say(f"cutover: {len(linked):,} files have hard links, {linked[0]!r} first, so the window will walk")
            listener = None  # what comes by another name, nobody tells of
        equal = Snapshot(manifest.known_files(), run.journal.owner)
        gone = frozenset(manifest.gone_locally())
        told = Changed(listener, run.settings.copy.exclude) if listener else None
        return len(changed), Baseline(equal, manifest.unknown_files(), manifest.uploaded_count(), gone, told)


def hear(known: Baseline) -> Baseline:
    """Take in what the kernel told by now, and return what is known then."""
    return known if known.changed and known.changed.hear() else replace(known, changed=None)


def catch_up(run: Run, known: Baseline, clock: Clock | None = None) -> tuple[int, Baseline]:
    """Send and compare what changed by now, while services still write; return how much, and what is known then.

    What does not become equal in time, and what is being written this very moment, is left to the window. Raises
    `Unfit` where so much is left that to look at it takes long.
    """
    known, root = hear(known), run.server.store_path
    if known.changed is None:
        return 0, known
    with run.server.manifest() as manifest, run.server.manifest_in_memory() as late:
        before = time.time_ns() - TICK
        seen, _, looks = _look(run, manifest, known)
        if any(look.linked for look in looks.values()):
            return 0, replace(known, changed=None)  # what comes by another name, nobody tells of
        changed = [entry for entry in seen if entry.ctime < before]
        late.load_local(changed)
        _note_sent(manifest, known, changed)
        try:
            with contextlib.suppress(CommandFailed):
                _send(run, late, root, changed, clock, one_by_one=True)
            _compare(run, late, root, changed, clock)
        except STORE_TROUBLE:
            return len(changed), known
        wrong = {*late.missing_remotely(), *late.different()}
        late.mark_equal()
        manifest.merge_from(late, [])
    settled = {entry.path: entry for entry in changed if entry.path not in wrong}
    known.sent.update(settled)
    left = {*seen} - {*settled.values()}
    known.changed.drop(path for path, look in looks.items() if look.whole and left.isdisjoint(look.files))
    to_look_at = {*known.changed.paths, *known.open}
    if sum(look.seconds for path, look in looks.items() if path in to_look_at) > LOOK_SECONDS:
        raise Unfit(f"{len(to_look_at):,} files and folders that changed must be looked at again: that takes long")
    return len(changed), known


class TooMuch(Exception):
    """This error says that more came than is sent at once, see `are_few`."""


def in_window(run: Run, known: Baseline, clock: Clock, *, few: bool = False) -> Found:
    """Send and compare what changed, while nothing writes; return how much that was.

    Raises `Problem` where a file is not equal in the bucket then, the time is over, or too many files are gone; with
    `few`, TooMuch where there is more to send than that.
    """
    root = run.server.store_path
    # A manifest of their own: asking the whole one takes the longer the larger the store.
    known = hear(known)
    with run.server.manifest() as manifest, run.server.manifest_in_memory() as late:
        changed, gone, looks = _look(run, manifest, known, clock.check) if known.changed else ([], [], {})
        if any(look.linked for look in looks.values()):
            known = replace(known, changed=None)
        if known.changed is None and few:
            raise TooMuch
        if known.changed is None:
            changed, gone = _changed_by_walk(run, manifest, known)
        gone = [path for path in gone if path not in known.gone]
        _check_deletions(run, known.uploaded_count, gone)
        late.load_local(changed)
        late.add_checksums(manifest.checksums(changed))
        if few and not are_few(changed):
            raise TooMuch
        _note_sent(manifest, known, changed)
        _send(run, late, root, changed, clock, one_by_one=few)
        clock.check()
        _compare(run, late, root, changed, clock)
        wrong = late.missing_remotely() + late.different()
        if wrong:
            raise Problem(
                f"{len(wrong):,} files changed lately are not equal in the bucket, {wrong[0]!r} among them",
                "run pulumi up again; the local store stays in use",
            )
        late.mark_equal()
        manifest.merge_from(late, gone)
    known.sent.update({entry.path: entry for entry in changed})
    known.purged.update(gone)
    return Found(len(changed), len(known.purged), walked=known.changed is None)


def _note_sent(manifest: Manifest, known: Baseline, files: Sequence[Entry]) -> None:
    """Note that these files are about to be sent: in the manifest, and that nothing is known of them meanwhile."""
    manifest.add_sent(file.path for file in files)
    known.sent.update(dict.fromkeys(file.path for file in files))


def verify(run: Run, copy: Path) -> None:
    """Walk over the local copy after the window, and see that all that changed there is equal in the bucket.

    This finds what changed though nobody told of it. Nothing is sent, since services write to the bucket by now. Raises
    `Problem` where a file is not equal there all the same.
    """
    with run.server.manifest() as manifest, run.server.manifest_in_memory() as late:
        manifest.load_local(walk(copy, run.settings.copy.exclude))
        changed = manifest.changed_locally()
        late.load_local(changed)
        _compare(run, late, copy, changed)
        # What was in the bucket and no longer is, was purged since.
        names = [path for path in late.missing_remotely() if not manifest.knows(path)] + late.different()
        manifest.unmark(names)  # or the proof would hold them against their old content
        late.mark_equal()
        manifest.merge_from(late)
        manifest.add_newer(names)  # nothing on the way home may replace them
    if names := unaccounted.unconfirmed(run, names):
        unaccounted.refuse(run, names, "they changed while the services stopped; the bucket serves")


def _check_deletions(run: Run, known: int, gone: list[str]) -> None:
    check_deletions(run.settings.migration.deletion_limit_percent, known, gone, "the local store")


def _look(
    run: Run, manifest: Manifest, known: Baseline, check: Callable[[], None] = lambda: None
) -> tuple[list[Entry], list[str], dict[str, Look]]:
    """Return the files told of that are not known to be equal, names of ours that are gone, and all looks by path."""
    told = known.changed.paths if known.changed else set()
    with Store.at(run.server.store_path) as top:
        exclude, nothing = run.settings.copy.exclude, lambda path: ()
        looks = {
            path: look_at(top, path, exclude, manifest.uploaded_below if path in told else nothing, check)
            for path in {*told, *known.open}
        }
    found = {entry.path: entry for look in looks.values() for entry in look.files}
    gone = {name for look in looks.values() for name in look.gone} - found.keys()
    sent = [file for path, file in found.items() if path in known.sent]
    changed, _ = known.equal.part(file for path, file in found.items() if path not in known.sent)
    return changed + [file for file in sent if known.sent[file.path] != file], sorted(gone), looks


def _changed_by_walk(run: Run, manifest: Manifest, known: Baseline) -> tuple[list[Entry], list[str]]:
    """Return the files of the whole store that are not known to be equal, and names of ours that are gone.

    Only if a file is missing is the manifest asked which.
    """
    root, exclude = run.server.store_path, run.settings.copy.exclude
    changed, same = known.equal.compare(root, exclude)
    replaced = sum(1 for _ in manifest.local(entry.path for entry in changed))
    with Store.at(root) as top:
        sent = [file for path in known.sent for file in file_at(top, path)]
    changed = [file for file in {*changed, *sent} if known.sent.get(file.path) != file]
    if same + replaced == manifest.walked():
        return changed, []
    manifest.load_local(walk(root, exclude))
    return changed, manifest.gone_locally()


def _send(
    run: Run, manifest: Manifest, root: Path, changed: list[Entry], clock: Clock | None, one_by_one: bool = False
) -> None:
    if changed:
        checksums.checksum_files(manifest, root, changed, check_of(clock))
        if one_by_one and are_few(changed):
            _put(run, root, changed, clock)
            return
        progress = Progress(len(changed), sum(entry.size for entry in changed))
        run.copier.upload(root, changed, run.journal.owner, progress, "rclone", clock.deadline if clock else None)


def are_few(files: Sequence[Entry] | Sequence[Object]) -> bool:
    """Return whether these files are sent one by one: sooner than a program that copies has begun."""
    return len(files) <= MOST_FILES and sum(file.size for file in files) <= MOST_BYTES


def _put(run: Run, root: Path, files: Sequence[Entry], clock: Clock | None) -> None:
    """Send a few files; one that is gone, or is not the store's owner's any more, is left out."""
    owner, check = run.journal.owner, check_of(clock)

    def put(file: Entry) -> None:
        check()
        # A hard link to somebody else's file would give its content away.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), top.file(file.path) as opened:
            if os.fstat(opened.fileno()).st_uid == owner.uid:
                run.bucket.put_medium(file.path, opened.read(file.size))  # it may grow without end

    with Store.at(root) as top, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(put, files):
            pass


def _compare(run: Run, manifest: Manifest, root: Path, changed: list[Entry], clock: Clock | None = None) -> None:
    check = check_of(clock)
    checksums.ask(manifest, run.bucket, [entry.path for entry in changed], check)
    checksums.settle(manifest, run.bucket, root, between=check)
