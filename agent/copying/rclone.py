"""This module copies with rclone: exactly the files named, straight to the bucket or from it.

https://rclone.org/s3/
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..host.processes import as_owner
from ..model.errors import CommandFailed
from .progress import PROGRESS_SECONDS, Progress
from .silence import Silence

if TYPE_CHECKING:
    from ..model.ports import Bucket, Say

#: Seconds without a finished file after which the store is asked whether it still answers.
STUCK_SECONDS = 30
#: Seconds without a word, of which it says one every few seconds, after which a program is taken for stopped.
SILENT_SECONDS = 180.0
#: How often in a row the store may fail to answer: rclone by itself would go on for minutes, and with many files for
#: days.
SILENT_TIMES = 6


def rclone_argv(
    program: Path,
    source: str,
    target: str,
    transfers: int,
    bandwidth: str = "",
    hurry: bool = False,
    by_store: bool = False,
) -> list[str]:
    """Return the command that copies exactly the files named on its standard input, whatever the target holds.

    What does not arrive is copied again by the caller's next round, so it gives up soon; sooner in a `hurry`, and then
    without the limit of `bandwidth`. With `by_store`, source and target are of one store, which copies by itself.
    """
    low_level_retries, connecting, silence = ("3", "5s", "20s") if hurry else ("5", "15s", "60s")
    return [
        str(program), "copy", source, target,
        "--files-from-raw", "-",
        "--no-traverse", "--no-check-dest",
        "--s3-no-head",
        *(["--server-side-across-configs"] if by_store else []),
        "--buffer-size", "1M",
        "--transfers", str(transfers), "--checkers", str(transfers),
        "--retries", "1", "--low-level-retries", low_level_retries,
        "--contimeout", connecting, "--timeout", silence,
        *(["--bwlimit", bandwidth] if bandwidth and not hurry else []),
        "--use-json-log", "--stats", f"{PROGRESS_SECONDS}s", "--stats-log-level", "NOTICE",
    ]  # fmt: skip


def follow(
    argv: list[str],
    owner: tuple[int, int],
    names: IO[str],
    environment: Mapping[str, str],
    progress: Progress,
    bucket: Bucket,
    say: Say,
    deadline: float | None = None,
) -> None:
    """Run rclone with the rights of `owner`, that environment and `names` as its input, and say how far it is.

    It is ended at the `deadline` (seconds on the monotonic clock), and where the store does not answer any more. Raises
    CommandFailed where it did not copy all.
    """
    errors: list[str] = []
    watch = _Watch(bucket)
    with subprocess.Popen(
        as_owner(argv, *owner),
        stdin=names,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr
        left = threading.TIMEOUT_MAX if deadline is None else max(0.0, deadline - time.monotonic())
        timer = threading.Timer(left, process.kill)
        timer.daemon = True
        timer.start()
        silence = Silence(process, SILENT_SECONDS)
        for line in process.stderr:
            silence.broken()
            try:
                record = json.loads(line)
            except ValueError:
                errors.append(line.strip())
                continue
            stats = record.get("stats")
            if stats:
                say(progress.line(stats["transfers"], stats["bytes"]))
                if watch.in_vain(stats["transfers"]):
                    process.kill()
                    errors.append("the store does not answer any more")
            elif record.get("level") in ("error", "fatal"):
                errors.append(f"{record.get('object', '')} {record.get('msg', '')}".strip())
    timer.cancel()
    if deadline is not None and time.monotonic() >= deadline:
        errors.append("the time for the window is over (migration.windowSeconds)")
    if process.returncode:
        raise CommandFailed(argv, process.returncode, "\n".join(errors))


class _Watch:
    """This class tells a store that is gone from one that is slow: it asks the store only while no file gets done."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._done, self._since, self._silent = 0, time.monotonic(), 0

    def in_vain(self, done: int) -> bool:
        """Return whether to give up; to be called every few seconds with the number of files done."""
        if done != self._done:
            self._done, self._since, self._silent = done, time.monotonic(), 0
        elif time.monotonic() - self._since > STUCK_SECONDS:
            self._silent = 0 if self._bucket.answers() else self._silent + 1
        return self._silent >= SILENT_TIMES
