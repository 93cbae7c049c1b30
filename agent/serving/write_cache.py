"""This module has the cache in front of the bucket: rclone's own, on the server's disk, for the mount that serves.

What is read often comes from that disk, and is there when the bucket is not. An upload is answered once it is on that
disk, and goes up a moment later. Which have not yet, rclone's notes on each file say, which lie on disk before a file
is closed: nothing else does so from the first moment on, and after a power loss too.

What is true if the power fails: what was answered is on the disk as much as it would be in a local store. The mount
goes on with it as soon as it runs again. https://rclone.org/commands/rclone_mount/#vfs-file-caching
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..host.files import read_json, write_json
from ..host.units import quote
from ..media.names import trouble
from ..model.errors import Problem
from ..model.layout import MOUNT_FOLDER, MOUNT_UNIT, RESERVED_PREFIX, Layout
from ..model.md5 import new_md5
from ..model.settings import StoreSettings, megabytes
from ..state.run import Server
from ..store.rclone_conf import REMOTE

#: How long an upload waits before it begins: with nothing, rclone would not try again what failed.
WRITE_BACK = "100ms"
#: Uploads at once.
TRANSFERS = 16
#: How often rclone looks whether the cache is too large, or its disk too full.
LOOK = "10s"
#: The share of its memory that the mount may take before it tidies up at any cost: ended for having too much, it would
#: read all notes again before it serves.
TIDY = 0.8
#: Names stay known: this mount alone writes to the bucket. While that is away, what is not known cannot be read.
NAMES_STAY = "24h"


@dataclass(frozen=True)
class Cache:
    """A `Cache` is one on the server's disk: its folder, and the bucket with the prefix that it is in front of."""

    folder: Path
    path: str

    @property
    def notes(self) -> Path:
        """Return the folder with rclone's notes on each file, below their names."""
        return self.folder / "vfsMeta" / REMOTE / self.path

    @property
    def content(self) -> Path:
        """Return the folder with the files themselves."""
        return self.folder / "vfs" / REMOTE / self.path

    def tops(self) -> list[str]:
        """Return the names at the top of the media store of which there are notes."""
        try:
            return os.listdir(self.notes)
        except FileNotFoundError:
            return []

    def owes(self, name: str) -> bool:
        """Return whether the file of that name is here, and not in the bucket as it is here."""
        try:
            note = (self.notes / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        try:
            return bool(json.loads(note)["Dirty"])
        except (ValueError, KeyError, TypeError):
            return True  # it is being written

    def is_of(self, store: StoreSettings) -> bool:
        """Return whether the cache is in front of that store."""
        return (self.folder.name, self.path) == (_name(store), store.path)

    def written(self, name: str) -> float:
        """Return when the content of a file was written last, in seconds since 1970; 0 where it is not here."""
        try:
            return (self.content / name).stat().st_mtime
        except OSError:
            return 0.0

    def sizes(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield those of the names that are whole here, with their bytes: what was not read is none of these."""
        for name in names:
            with contextlib.suppress(OSError):
                yield name, (self.content / name).stat().st_size

    def md5(self, name: str) -> str:
        """Return the MD5 of a file's content as it is here."""
        digest = new_md5()
        with (self.content / name).open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()

    def forget(self, name: str) -> None:
        """Remove the note on a file."""
        (self.notes / name).unlink(missing_ok=True)

    def owed_any(self) -> bool:
        """Return whether the bucket lacks a file as it is here."""
        return next(self.owed(), None) is not None

    def owed(self) -> Iterator[str]:
        """Yield the names of all files that the bucket does not have as they are here; it reads every note."""
        for folder, _, names in os.walk(self.notes):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.notes)
                # Else a probe of ours, or a name that no object can have: somebody laid it to be waited for.
                if not path.startswith(RESERVED_PREFIX) and not trouble(path) and self.owes(path):
                    yield path


def wanted(server: Server) -> Cache | None:
    """Return the cache of the mount that serves, by its settings; None where there is to be none."""
    mount, store = server.settings.mount, server.settings.store
    if not mount.cache or mount.program != "rclone":
        return None
    return Cache(Path(mount.cache_folder) / _name(store), store.path)


def _name(store: StoreSettings) -> str:
    """Return what the cache of a store is called: two stores may have buckets of one name."""
    return hashlib.sha256("\n".join([store.endpoint, store.bucket, store.prefix]).encode()).hexdigest()[:12]


def options(server: Server) -> list[str]:
    """Return the mount's options for its cache; none without one."""
    cache, mount = wanted(server), server.settings.mount
    if cache is None:
        return []
    return [
        "--cache-dir", str(cache.folder),
        "--vfs-cache-mode", "full",
        "--vfs-cache-max-size", mount.cache,
        "--vfs-cache-min-free-space", mount.cache_keep_free,
        "--vfs-cache-max-age", "8760h",
        "--vfs-cache-poll-interval", LOOK,
        "--vfs-write-back", WRITE_BACK,
        # Size and ETag tell one content from another; the time would be a request more for each file first read.
        "--vfs-fast-fingerprint", "--use-server-modtime",
        "--transfers", str(TRANSFERS),
        "--dir-cache-time", NAMES_STAY,
        # Who asks for what is not here, while the bucket is away, hears so soon; uploads are tried again all the same.
        "--low-level-retries", "3", "--contimeout", "5s", "--timeout", "30s",
        # In a folder that root alone enters: it says what is owed.
        "--rc", "--rc-no-auth", "--rc-addr", f"unix://{server.layout.remote_control}",
    ]  # fmt: skip


def unit_lines(server: Server) -> list[str]:
    """Return further lines for the mount's unit; none without a cache.

    systemd makes the folder of the socket for each start, and takes it away: a socket that is left would be in the way.
    """
    if not wanted(server):
        return []
    tidy = int(megabytes(server.settings.mount.memory_max) * TIDY)
    return [
        f"RuntimeDirectory={MOUNT_FOLDER}", "RuntimeDirectoryMode=0700",
        # rclone reads all notes before it mounts, and asks the bucket for each file that it owes.
        "TimeoutStartSec=900",
        # https://pkg.go.dev/runtime#hdr-Environment_Variables
        f"Environment=GOMEMLIMIT={tidy}MiB",
    ]  # fmt: skip


def disks(server: Server) -> list[str]:
    """Return the paths that must be mounted before the mount starts, in systemd's quotes."""
    return [quote(server.settings.mount.cache_folder)] if wanted(server) else []


def known(server: Server) -> list[Cache]:
    """Return all caches that there may be: by the settings, and laid earlier and not removed since.

    Raises `Problem` where their list is damaged.
    """
    laid = {Cache(Path(folder), path) for folder, path in (read_json(server.layout.caches) or {}).items()}
    now = wanted(server)
    return sorted({*laid, *([now] if now else [])}, key=lambda cache: cache.folder)


def used(server: Server) -> list[Cache]:
    """Return the known caches that our mount's program works on now, as its command line says; all where none runs."""
    caches = known(server)
    if not caches:
        return []
    told = server.system.systemctl("show", "--property=MainPID", "--value", MOUNT_UNIT, check=False).strip()
    try:
        words = Path("/proc", told, "cmdline").read_bytes().split(b"\0") if int(told) else []
    except (OSError, ValueError):
        return caches
    if not words:
        return caches
    folders = {os.fsdecode(after) for word, after in zip(words, words[1:]) if word == b"--cache-dir"}
    return [cache for cache in caches if str(cache.folder) in folders]


def lay(server: Server) -> None:
    """Make the folder of the cache, if there is to be one. Raises `Problem` where somebody else could write to it."""
    cache = wanted(server)
    if cache is None:
        return
    _check_roots_own(cache.folder.parent)
    cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(server.layout, {*known(server)})


def _check_roots_own(folder: Path) -> None:
    for path in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError):
            info = os.stat(path)
            if info.st_uid or info.st_mode & 0o022 and not info.st_mode & 0o1000:
                raise Problem(
                    f"others than root may write to {path}, and the cache would lie in it",
                    "set mount.cacheFolder to a folder of root's, such as /var/cache/matrix-media-store",
                )


def remove_unused(server: Server, keep: Cache | None) -> list[str]:
    """Remove all caches but one, and return the names of files that a cache still owes the bucket; such a one stays.

    No mount may use one that is to go.
    """
    left: list[str] = []
    caches = known(server)
    for cache in caches:
        if cache == keep:
            continue
        owed = [*cache.owed()]
        left += owed
        if not owed:
            shutil.rmtree(cache.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # others are in it, or it was a folder of somebody's
                cache.folder.parent.rmdir()
    _write(server.layout, {cache for cache in caches if cache.folder.exists()})
    return left


def _write(layout: Layout, caches: set[Cache]) -> None:
    if caches or layout.caches.exists():
        write_json(layout.caches, {str(cache.folder): cache.path for cache in caches})
