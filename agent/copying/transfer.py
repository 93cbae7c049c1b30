"""This module copies many files: by rclone straight to the bucket, rsync through the staging mount, or b2."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.processes import as_owner
from ..model.errors import CommandFailed
from ..model.items import Entry, Object
from ..state.records import Owner
from ..state.run import Server
from ..store.rclone_conf import PART_CUTOFF, REMOTE, rclone_environment
from . import b2, concurrency, rclone, rsync
from .file_list import file_list
from .progress import Progress

if TYPE_CHECKING:
    from ..model.ports import Say

#: Seconds after which a copy by rsync is taken for stuck.
RSYNC_SECONDS = 24 * 3600
#: Files in parts that are copied at once, and parts of each: rclone holds so many parts in memory, 128 MB here.
LARGE_TRANSFERS = 4


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

    @property
    def _bucket(self) -> str:
        return f"{REMOTE}:{self._server.settings.store.path}"

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
    ) -> None:
        """Copy exactly these files, each given as its path and its size in bytes; `deadline` is as in `upload`.

        Files that go in parts are copied after the others and fewer at once, for the memory they take.
        """
        failure, at_once = None, self._at_once()
        environment = {**os.environ, **rclone_environment(self._server.settings.store)}
        for large, transfers in ((False, at_once), (True, min(at_once, LARGE_TRANSFERS))):
            chosen = [(path, size) for path, size in files if (size >= PART_CUTOFF) is large]
            if not chosen:
                continue
            bandwidth = self._server.settings.copy.bandwidth
            argv = rclone.rclone_argv(
                self._server.rclone, source, target, transfers, bandwidth, hurry=deadline is not None
            )
            try:
                with file_list(self._server.layout.var, [path for path, _ in chosen], "\n") as names:
                    rclone.follow(argv, owner, names, environment, progress, self._server.bucket, self._say, deadline)
            except CommandFailed as error:
                failure = failure or error
            progress.add(len(chosen), sum(size for _, size in chosen))
        if failure:
            raise failure
