"""What changed since `mirror` compared everything: once before the window, and once in it. No listing is asked for.

What is true if the power fails: the local store is only read. What was sent to the bucket was noted in the
manifest before; what was proven in the window gets into it at the end or not at all, and is compared anew then.
"""

from __future__ import annotations

from . import content, copying, mirror
from .context import Context
from .errors import Problem
from .manifest import Manifest
from .snapshot import Snapshot
from .system import CommandFailed
from .tree import Entry, walk


def before_window(context: Context) -> tuple[int, Snapshot]:
    """While services still write. Returns how many files had changed, and all that is known to be equal now.

    What does not become equal is left to the window: it is not in the snapshot.
    """
    root = context.settings.host.store_path
    with context.manifest() as manifest:
        manifest.load_local(walk(root, context.settings.migration.exclude))
        changed, gone = manifest.changed_locally(), manifest.gone_locally()
        mirror.check_deletions(context, manifest, gone, "the local store")
        manifest.add_sent(entry.path for entry in changed)
        try:
            _send(context, manifest, changed)
        except CommandFailed as error:
            context.say(f"cutover: {' '.join(str(error).split())[:500]} -- left to the window")
        _compare(context, manifest, changed)
        content.delete_objects(context.bucket, gone)
        for path in gone:
            manifest.set_remote(path, None)
        manifest.learn()
        return len(changed), Snapshot(manifest.known_files())


def in_window(context: Context, snapshot: Snapshot) -> dict[str, int]:
    """While nothing writes. Each file that the snapshot lacks is proven equal, or it is a `Problem`."""
    changed, same = snapshot.compare(context.settings.host.store_path, context.settings.migration.exclude)
    paths = [entry.path for entry in changed]
    # A manifest of their own: asking the whole one takes the longer the larger the store.
    with context.manifest() as manifest, context.manifest(kept=False) as late:
        gone = _gone(context, manifest, changed, same)
        late.load_local(changed)
        late.add_prints(manifest.prints(changed))
        manifest.add_sent(paths)
        _send(context, late, changed)
        _compare(context, late, changed)
        wrong = late.missing_remotely() + late.different()
        if wrong:
            raise Problem(
                f"{len(wrong):,} files changed lately are not equal in the bucket, {wrong[0]!r} among them",
                "run pulumi up again; the local store stays in use",
            )
        content.delete_objects(context.bucket, gone)
        late.learn()
        manifest.take(late, gone)
    return {"changed": len(paths), "removed": len(gone)}


def _gone(context: Context, manifest: Manifest, changed: list[Entry], same: int) -> list[str]:
    """Names of ours that are no longer in the store. Only if one is missing is the manifest asked which."""
    replaced = sum(1 for _ in manifest.local(entry.path for entry in changed))
    if same + replaced == manifest.walked():
        return []
    manifest.load_local(walk(context.settings.host.store_path, context.settings.migration.exclude))
    gone = manifest.gone_locally()
    mirror.check_deletions(context, manifest, gone, "the local store")
    return gone


def _send(context: Context, manifest: Manifest, changed: list[Entry]) -> None:
    root = context.settings.host.store_path
    if changed:
        content.print_files(manifest, root, changed, context.check_clock)
        progress = copying.Progress(len(changed), sum(entry.size for entry in changed))
        copying.upload(context, root, changed, progress, "rclone")


def _compare(context: Context, manifest: Manifest, changed: list[Entry]) -> None:
    context.check_clock()
    content.ask(manifest, context.bucket, [entry.path for entry in changed])
    content.settle(manifest, context.bucket, context.settings.host.store_path)
