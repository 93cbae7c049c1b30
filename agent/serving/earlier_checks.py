"""This module checks an earlier mount before it is taken over: can it be, and is it the stack's bucket?"""

from __future__ import annotations

import itertools
from pathlib import Path

from ..media.listing import MediaObjects
from ..media.walk import walk
from ..model.errors import Problem
from ..state import local_copy
from ..state.records import Owner
from ..state.run import Server
from ..store.bucket import STORE_TROUBLE
from . import earlier_mount, mount_point, proof, store_in_use, writers
from .earlier_mount import EarlierMount

#: Names of each side that are looked for on the other, and seconds for them.
SAMPLE, SAMPLE_SECONDS = 25, 60
#: Files that are written through the mount, and their bytes: more than goes up before the bucket is asked.
PROBES, PROBE_BYTES = 3, 4 << 20


def check(server: Server) -> EarlierMount:
    """Return the mount that can be taken over. Raises `Problem` where none can, or it shows something else."""
    found = earlier_mount.find(server)
    _check_unit(server, found.unit)
    local_copy.check_none(server.backup_path)
    mount_point.check_nothing_beneath(server.system, server.store_path)
    store_in_use.check_some_use_it(server)
    if server.settings.store.endpoint:  # else it is not made yet
        _check_shows_same(server, found.owner)
    return found


def _check_unit(server: Server, unit: str) -> None:
    """Raise `Problem` where the homeserver would end with that unit, or is it."""
    services = {*writers.running(server)}
    if unit in services:
        raise Problem(
            f"{unit} itself mounts the bucket at {server.store_path}",
            "have a unit of its own, or a line in /etc/fstab, mount it; then run pulumi up again",
        )
    if ended := sorted(earlier_mount.bound(server, unit) & services):
        raise Problem(
            f"{ended[0]} has BindsTo={unit}, so systemd would stop it once that mount is taken over",
            f"write Requires={unit} and After={unit} in its place, run systemctl daemon-reload; then pulumi up again",
        )


def _check_shows_same(server: Server, owner: Owner) -> None:
    """Raise `Problem` where names of the bucket are not in the mount, or the other way round; both are samples."""
    store, exclude = server.store_path, server.settings.copy.exclude
    try:
        objects = {item.key: item.size for item in itertools.islice(MediaObjects(server.bucket, exclude), SAMPLE)}
        missing, files = server.system.as_user(*owner, lambda: _look(store, objects, exclude), timeout=SAMPLE_SECONDS)
        unknown = [path for path in files if server.bucket.head(path) is None]
    except STORE_TROUBLE:
        return  # the check of the bucket tells it
    except OSError as error:
        raise Problem(f"the mount at {store} cannot be read: {error}", "mend it first, or see findmnt") from None
    if missing or unknown:
        one, other = ("bucket", "mount") if missing else ("mount", "bucket")
        raise Problem(
            f"the mount at {store} shows something else than bucket {server.settings.store.path}: "
            f"{[*missing, *unknown][0]!r} is in the {one}, and not in the {other}",
            "name the bucket that is mounted there, with its prefix (store.bucket, store.prefix, store.endpoint)",
        )


def _look(store: Path, objects: dict[str, int], exclude: list[str]) -> tuple[list[str], list[str]]:
    """Return which of the objects the mount lacks, and some files that it has; to be asked as the media's owner."""
    missing = [key for key, size in objects.items() if not _has(store / key, size)]
    return missing, [entry.path for entry in itertools.islice(walk(store, exclude), SAMPLE)]


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def check_writes(server: Server, owner: Owner) -> None:
    """Raise `Problem` unless files that are written through the mount are in the bucket as soon as they are closed.

    A mount with a cache of its own may have files that nobody else has.
    """
    try:
        for _ in range(PROBES):
            proof.write_probe(server.system, server.bucket, owner, server.store_path, PROBE_BYTES)
    except Problem as problem:
        raise Problem(
            f"the mount at {server.store_path} does not write to bucket {server.settings.store.path} at once: "
            f"{problem.what}",
            "stop what mounts it from caching writes (rclone: --vfs-cache-mode off), or name the bucket that it writes "
            "to; then run pulumi up again",
        ) from None
