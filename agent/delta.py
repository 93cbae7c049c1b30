"""What changed since `mirror` compared everything: once before the window, and once in it. No listing is asked for.

In the window the kernel tells what changed, whatever the store's size; where it does not, one walk does.

What is true if the power fails: the local store is only read. What was sent to the bucket was noted in the
manifest before; what was proven in the window gets into it at the end or not at all, and is compared anew then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import content, copying, mirror, unresolved
from .context import Context
from .errors import Problem
from .listener import Listener
from .manifest import Manifest
from .snapshot import Snapshot
from .system import CommandFailed
from .tree import Entry, at, walk


@dataclass(frozen=True)
class Known:
    """What the window goes by: the files that are equal in the bucket, those that are not yet, and who tells the
    rest. The listener must have listened since before the walk that found them."""

    equal: Snapshot
    open: list[str]
    #: How many names this program put into the bucket.
    ours: int
    listener: Listener | None


def before_window(context: Context, listener: Listener | None) -> tuple[int, Known]:
    """While services still write. Returns how many files had changed, and all that is known to be equal now.

    What does not become equal is left to the window.
    """
    root = context.settings.host.store_path
    linked: list[str] = []
    with context.manifest() as manifest:
        manifest.load_local(walk(root, context.settings.migration.exclude, linked=linked))
        changed, gone = manifest.changed_locally(), manifest.gone_locally()
        mirror.check_deletions(context, manifest.ours(), gone, "the local store")
        manifest.add_sent(entry.path for entry in changed)
        try:
            _send(context, manifest, root, changed)
        except CommandFailed as error:
            context.say(f"cutover: {' '.join(str(error).split())[:500]} -- left to the window")
        _compare(context, manifest, root, changed)
        content.delete_objects(context.bucket, gone)
        for path in gone:
            manifest.set_remote(path, None)
        manifest.learn()
        if linked:
            context.say(f"cutover: {len(linked):,} files have hard links, {linked[0]!r} first, so the window will walk")
            listener = None  # what comes by another name, nobody tells of
        known = Known(Snapshot(manifest.known_files()), manifest.unknown_files(), manifest.ours(), listener)
        return len(changed), known


def in_window(context: Context, known: Known) -> dict[str, int]:
    """While nothing writes. Each file that is not known to be equal is proven so, or it is a `Problem`.

    Returns how many changed, were removed, and whether it was a walk that found them.
    """
    root = context.settings.host.store_path
    # A manifest of their own: asking the whole one takes the longer the larger the store.
    with context.manifest() as manifest, context.manifest(kept=False) as late:
        told = known.listener.changed() if known.listener else None
        if told is None:
            changed, gone = _changed_by_walk(context, manifest, known)
        else:
            changed, gone = _changed_at(context, manifest, known, told)
        mirror.check_deletions(context, known.ours, gone, "the local store")
        late.load_local(changed)
        late.add_prints(manifest.prints(changed))
        manifest.add_sent(entry.path for entry in changed)
        _send(context, late, root, changed)
        _compare(context, late, root, changed)
        wrong = late.missing_remotely() + late.different()
        if wrong:
            raise Problem(
                f"{len(wrong):,} files changed lately are not equal in the bucket, {wrong[0]!r} among them",
                "run pulumi up again; the local store stays in use",
            )
        content.delete_objects(context.bucket, gone)
        late.learn()
        manifest.take(late, gone)
    return {"changed": len(changed), "removed": len(gone), "walked": told is None}


def verify(context: Context, copy: Path) -> None:
    """After the window, while services run: a walk over the local copy finds what changed though nobody told of it.

    Nothing is sent, since services write to the bucket by now: what is not equal there all the same is a `Problem`.
    """
    with context.manifest() as manifest, context.manifest(kept=False) as late:
        manifest.load_local(walk(copy, context.settings.migration.exclude))
        changed = manifest.changed_locally()
        late.load_local(changed)
        _compare(context, late, copy, changed)
        # What was in the bucket and no longer is, was purged since.
        names = [path for path in late.missing_remotely() if not manifest.knows(path)] + late.different()
        manifest.unlearn(names)  # or the proof would hold them against their old content
        late.learn()
        manifest.take(late, [])
    confirmed = set(context.settings.migration.confirmed)
    if names := [path for path in names if path not in confirmed]:
        unresolved.refuse(context, names, "they changed while the services stopped; the bucket serves")


def _changed_at(
    context: Context, manifest: Manifest, known: Known, told: Iterable[str]
) -> tuple[list[Entry], list[str]]:
    """Files at these paths that are not known to be equal, and names of ours there that are no longer in the store."""
    root, exclude = context.settings.host.store_path, context.settings.migration.exclude
    found = {entry.path: entry for path in {*told, *known.open} for entry in at(root, path, exclude)}
    gone = {name for path in told for name in manifest.ours_at(path)} - found.keys()
    changed, _ = known.equal.part(found.values())
    return changed, sorted(gone)


def _changed_by_walk(context: Context, manifest: Manifest, known: Known) -> tuple[list[Entry], list[str]]:
    """The same for the whole store. Only if a file is missing is the manifest asked which."""
    root, exclude = context.settings.host.store_path, context.settings.migration.exclude
    changed, same = known.equal.compare(root, exclude)
    replaced = sum(1 for _ in manifest.local(entry.path for entry in changed))
    if same + replaced == manifest.walked():
        return changed, []
    manifest.load_local(walk(root, exclude))
    return changed, manifest.gone_locally()


def _send(context: Context, manifest: Manifest, root: Path, changed: list[Entry]) -> None:
    if changed:
        content.print_files(manifest, root, changed, context.check_clock)
        progress = copying.Progress(len(changed), sum(entry.size for entry in changed))
        copying.upload(context, root, changed, progress, "rclone")


def _compare(context: Context, manifest: Manifest, root: Path, changed: list[Entry]) -> None:
    context.check_clock()
    content.ask(manifest, context.bucket, [entry.path for entry in changed])
    content.settle(manifest, context.bucket, root)
