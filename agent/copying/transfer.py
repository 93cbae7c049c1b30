"""This module copies many files: by rclone straight to the bucket, rsync through the staging mount, or b2."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.processes import as_owner
from ..model.errors import CommandFailed
from ..model.items import Entry, Object
from ..model.settings import StoreSettings
from ..state.records import Owner
from ..state.run import Server
from ..store.rclone_conf import EARLIER, PART_CUTOFF, REMOTE, rclone_environment
from . import b2, concurrency, own_copy, rclone, rsync
from .file_list import file_list
from .progress import Progress

if TYPE_CHECKING:
    from ..model.ports import Say

#: Seconds after which a copy by rsync is taken for stuck.
RSYNC_SECONDS = 24 * 3600
#: Files in parts that are copied at once, and parts of each: rclone holds so many parts in memory, 128 MB here.
LARGE_TRANSFERS = 4
#: From one bucket to another, so many times fewer files are copied at once than fit: the first of them serves. With all
#: of them it took no less time on two processors, and with a quarter it took longer.
POLITE = 2


def method(wanted: str, first: bool) -> str:
    """Return by which program to copy now: `rclone`, `rsync` or `b2`.

    b2 copies whole trees, so what it left is rclone's, which copies exactly what is named. `wanted` is the setting
    copy.method, `first` says that nothing was copied in this run yet.
    """
    return "rclone" if wanted == "b2" and not first else wanted


class Transfer:
    """A `Transfer` copies files for one run of the agent."""

    def __init__(self, server: Server, say: Say) -> None:
        self._server, self._say = server, say
        self._decided = 0
        self._by_store: bool | None = None

    def prepare(self) -> None:
        """Decide how many files are copied at once, so that a window need not."""
        self._at_once()

    def upload(
        self,
        source: Path,
        entries: Sequence[Entry],
        owner: Owner,
        progress: Progress,
        method: str,
        deadline: float | None = None,
    ) -> None:
        """Copy local files below `source` into the bucket, with the rights of `owner`.

        `deadline` is in seconds on the monotonic clock. Raises CommandFailed where not all arrived; what was copied
        stays and is compared like all the rest.
        """
        if method == "rclone":
            files = [(entry.path, entry.size) for entry in entries]
            self._rclone(str(source), self._bucket, owner, files, progress, deadline)
            return
        if method == "b2":
            program, settings = b2.install(self._server, self._say), self._server.settings
            argv = b2.sync_argv(program, source, settings.store.path, settings.copy.exclude, self._at_once())
            b2.sync(self._server, argv, owner, len(entries), self._say)
        else:
            bandwidth = self._server.settings.copy.bandwidth
            argv = rsync.rsync_argv(source, self._server.layout.staging, bandwidth)
            with file_list(self._server.layout.var, [entry.path for entry in entries], "\0") as names:
                try:
                    self._server.system.run(as_owner(argv, *owner), timeout=RSYNC_SECONDS, stdin=names)
                except CommandFailed as error:
                    raise CommandFailed(argv, error.status, str(error)) from None
        progress.add(len(entries), sum(entry.size for entry in entries))

    def download(
        self,
        target: Path,
        objects: Sequence[Object],
        owner: Owner,
        progress: Progress,
        deadline: float | None = None,
    ) -> None:
        """Copy objects into `target`, a folder that nothing else uses; `owner` and `deadline` are as in `upload`.

        Raises CommandFailed where not all arrived; what was copied stays.
        """
        files = [(item.key, item.size) for item in objects]
        self._rclone(self._bucket, str(target), owner, files, progress, deadline)

    def to(self, server: Server) -> Transfer:
        """Return a copier for the same server with other settings: of another bucket."""
        return Transfer(server, self._say)

    def across(
        self,
        source: StoreSettings,
        objects: Sequence[Object],
        owner: Owner,
        progress: Progress,
        deadline: float | None = None,
    ) -> None:
        """Copy objects of the bucket `source` into this one's, by the store itself where it can; `deadline` as above.

        Fewer at once than from a disk, unless the stack says how many: people use that bucket meanwhile.

        Raises CommandFailed where not all arrived; what was copied stays.
        """
        files = [(item.key, item.size) for item in objects]
        self._rclone(f"{EARLIER}:{source.path}", self._bucket, owner, files, progress, deadline, source)

    @property
    def _bucket(self) -> str:
        return f"{REMOTE}:{self._server.settings.store.path}"

    def _copies_by_itself(self, earlier: StoreSettings) -> bool:
        """Return whether the store copies from that bucket to this one without this server; it is tried once."""
        if self._by_store is None:
            self._by_store = own_copy.works(self._server, earlier)
            how = "by the store itself" if self._by_store else "through this server, which keeps nothing of them"
            self._say(f"move: objects are copied {how}")
        return self._by_store

    def _at_once(self) -> int:
        if not self._decided:
            told = self._server.settings.copy.transfers
            self._decided = told or concurrency.decide(self._server.bucket, self._say)
        return self._decided

    def _rclone(
        self,
        source: str,
        target: str,
        owner: Owner,
        files: Sequence[tuple[str, int]],
        progress: Progress,
        deadline: float | None,
        earlier: StoreSettings | None = None,
    ) -> None:
        """Copy exactly these files, each given as its path and its size in bytes; `deadline` is as in `upload`.

        `earlier` is the store that they come from, where that is another bucket.

        Files that go in parts are copied after the others and fewer at once, for the memory they take.
        """
        failure, at_once = None, self._at_once()
        environment = {**os.environ, **rclone_environment(self._server.settings.store)}
        by_store = False
        if earlier:
            environment.update(rclone_environment(earlier, EARLIER))
            by_store = self._copies_by_itself(earlier)
            if not self._server.settings.copy.transfers:  # people use both of its ends meanwhile
                at_once = max(1, at_once // POLITE)
        for large, transfers in ((False, at_once), (True, min(at_once, LARGE_TRANSFERS))):
            chosen = [(path, size) for path, size in files if (size >= PART_CUTOFF) is large]
            if not chosen:
                continue
            bandwidth = self._server.settings.copy.bandwidth
            argv = rclone.rclone_argv(
                self._server.rclone, source, target, transfers, bandwidth, deadline is not None, by_store
            )
            try:
                with file_list(self._server.layout.var, [path for path, _ in chosen], "\n") as names:
                    rclone.follow(argv, owner, names, environment, progress, self._server.bucket, self._say, deadline)
            except CommandFailed as error:
                failure = failure or error
            progress.add(len(chosen), sum(size for _, size in chosen))
        if failure:
            raise failure
