"""This module copies many files: by rclone straight to the bucket, rsync through the staging mount, or b2."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import CommandFailed
from ..model.items import Entry, Object
from ..state.run import Server
from ..store.rclone_conf import PART_CUTOFF, REMOTE
from . import b2, concurrency, rclone, rsync
from .progress import Progress

if TYPE_CHECKING:
    from ..model.ports import Say

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
        self, source: Path, entries: Sequence[Entry], progress: Progress, method: str, deadline: float | None = None
    ) -> None:
        """Copy local files below `source` into the bucket; `deadline` is in seconds on the monotonic clock.

        Raises CommandFailed where not all arrived; what was copied stays and is compared like all the rest.
        """
        if method == "rclone":
            files = [(entry.path, entry.size) for entry in entries]
            self._rclone(str(source), self._bucket, files, progress, deadline)
            return
        if method == "b2":
            b2.sync(self._server, source, len(entries), self._at_once(), self._say)
        else:
            names = self._names([entry.path for entry in entries], "\0")
            bandwidth = self._server.settings.copy.bandwidth
            try:
                self._server.system.run(rsync.rsync_argv(source, self._server.layout.staging, names, bandwidth))
            finally:
                names.unlink()
        progress.add(len(entries), sum(entry.size for entry in entries))

    def download(
        self, target: Path, objects: Sequence[Object], progress: Progress, deadline: float | None = None
    ) -> None:
        """Copy objects into `target`, a folder of ours that nothing else uses; `deadline` is as in `upload`.

        Raises CommandFailed where not all arrived; what was copied stays.
        """
        files = [(item.key, item.size) for item in objects]
        self._rclone(self._bucket, str(target), files, progress, deadline)

    @property
    def _bucket(self) -> str:
        return f"{REMOTE}:{self._server.settings.store.bucket}"

    def _at_once(self) -> int:
        if not self._decided:
            told = self._server.settings.copy.transfers
            self._decided = told or concurrency.decide(self._server.bucket, self._say)
        return self._decided

    def _rclone(
        self, source: str, target: str, files: Sequence[tuple[str, int]], progress: Progress, deadline: float | None
    ) -> None:
        """Copy exactly these files, each given as its path and its size in bytes; `deadline` is as in `upload`.

        Files that go in parts are copied after the others and fewer at once, for the memory they take.
        """
        failure, at_once = None, self._at_once()
        for large, transfers in ((False, at_once), (True, min(at_once, LARGE_TRANSFERS))):
            chosen = [(path, size) for path, size in files if (size >= PART_CUTOFF) is large]
            if not chosen:
                continue
            names = self._names([path for path, _ in chosen], "\n")
            argv = rclone.rclone_argv(
                self._server.layout.rclone_conf, source, target, names, transfers,
                self._server.settings.copy.bandwidth, hurry=deadline is not None,
            )  # fmt: skip
            try:
                rclone.follow(argv, progress, self._server.bucket, self._say, deadline)
            except CommandFailed as error:
                failure = failure or error
            finally:
                names.unlink()
            progress.add(len(chosen), sum(size for _, size in chosen))
        if failure:
            raise failure

    def _names(self, paths: list[str], end: str) -> Path:
        with tempfile.NamedTemporaryFile(
            "w", dir=self._server.layout.var, prefix="names-", delete=False, encoding="utf-8", newline=""
        ) as file:
            try:
                file.writelines(path + end for path in paths)
                file.flush()
            except OSError:
                os.unlink(file.name)
                raise
        return Path(file.name)
