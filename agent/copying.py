"""Bulk copying: rclone straight to the bucket, or rsync through the staging mount."""

from __future__ import annotations

import configparser
import io
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import b2, pace
from .console import PROGRESS_SECONDS
from .content import PART_CUTOFF, PART_SIZE
from .context import Context
from .s3 import Bucket, Object
from .settings import StoreSettings
from .system import CommandFailed
from .tree import Entry

REMOTE = "store"
#: Seconds without a finished file after which the store is asked whether it still answers, and how often
#: in a row it may fail to: rclone by itself would go on for minutes, and with many files for days.
STUCK_SECONDS, SILENT_TIMES = 30, 6
#: Files in parts that are copied at once, and parts of each: rclone holds so many parts in memory, 128 MB here.
LARGE_TRANSFERS, PARTS_AT_ONCE = 4, 2


def rclone_conf(store: StoreSettings) -> str:
    """rclone's configuration; with the keys, so it goes to a 0600 file."""
    conf = configparser.ConfigParser(interpolation=None)
    conf[REMOTE] = {
        "type": "s3",
        # Not the store's own name: rclone would put the bucket into the host's name, against the rest of us.
        "provider": "Other",
        "access_key_id": store.access_key_id,
        "secret_access_key": store.secret_access_key,
        "endpoint": store.endpoint,
        "region": store.region,
        "force_path_style": "true",
        "no_check_bucket": "true",
        "upload_cutoff": f"{PART_CUTOFF >> 20}M",
        "chunk_size": f"{PART_SIZE >> 20}M",
        "upload_concurrency": str(PARTS_AT_ONCE),
    }
    if store.storage_class:
        conf[REMOTE]["storage_class"] = store.storage_class
    if store.sse_customer_key:
        conf[REMOTE].update(sse_customer_algorithm="AES256", sse_customer_key_base64=store.sse_customer_key)
    text = io.StringIO()
    conf.write(text)
    return text.getvalue()


def rclone_argv(
    conf: Path, source: str, target: str, names: Path, transfers: int, bandwidth: str = "", hurry: bool = False
) -> list[str]:
    """The command that copies exactly the files named, whatever the target holds.

    What does not arrive is copied again by the caller's next round, so it gives up soon; sooner in a hurry,
    and then as fast as it can.
    """
    low_level_retries, connecting, silence = ("3", "5s", "20s") if hurry else ("5", "15s", "60s")
    return [
        "rclone", "copy", source, target,
        "--config", str(conf),
        "--files-from-raw", str(names),
        "--no-traverse", "--no-check-dest",
        "--s3-no-head",
        "--buffer-size", "1M",
        "--transfers", str(transfers), "--checkers", str(transfers),
        "--retries", "1", "--low-level-retries", low_level_retries,
        "--contimeout", connecting, "--timeout", silence,
        *(["--bwlimit", bandwidth] if bandwidth and not hurry else []),
        "--use-json-log", "--stats", f"{PROGRESS_SECONDS}s", "--stats-log-level", "NOTICE",
    ]  # fmt: skip


def rsync_argv(source: Path, target: Path, names: Path, bandwidth: str = "") -> list[str]:
    """The manual procedure's copy, in place: a rename through the mount would be PUT, COPY and DELETE."""
    return [
        "rsync", "--recursive", "--inplace", "--whole-file", "--ignore-times", "--from0",
        *([f"--bwlimit={bandwidth}"] if bandwidth else []),
        f"--files-from={names}", f"{source}/", f"{target}/",
    ]  # fmt: skip


@dataclass
class Progress:
    """How far a copy is that is done in lots: `files` and `bytes` in all, and what earlier lots did of them."""

    files: int
    bytes: int
    done: int = 0
    bytes_done: int = 0
    start: float = field(default_factory=time.monotonic)

    def add(self, files: int, size: int) -> None:
        """So much more is over, whether it arrived or not."""
        self.done += files
        self.bytes_done += size

    def line(self, files: int, size: int) -> str:
        """For so many files and bytes of the present lot."""
        seconds = time.monotonic() - self.start
        return progress_line(self.done + files, self.files, self.bytes_done + size, self.bytes, seconds)


def progress_line(done: int, files: int, bytes_done: int, bytes_total: int, seconds: float) -> str:
    """`copied 120 of 5,000 files, 12.0 of 508.0 MB, 8.1 MB/s, about 61 s left`."""
    rate = bytes_done / seconds if seconds > 0 else 0
    # Large files come first: what is left is many small ones, and the slower of both measures is right.
    parts = [part for part in (done / max(files, 1), bytes_done / max(bytes_total, 1)) if 0 < part < 1]
    left = f", about {max(seconds * (1 - part) / part for part in parts):.0f} s left" if parts else ""
    return (
        f"copied {done:,} of {files:,} files, {bytes_done / 1e6:,.1f} of {bytes_total / 1e6:,.1f} MB, "
        f"{rate / 1e6:,.1f} MB/s{left}"
    )


def _rclone(context: Context, source: str, target: str, files: Sequence[tuple[str, int]], progress: Progress) -> None:
    """Copy exactly these files, with their sizes; in a window, no longer than that may last.

    Those that go in parts are copied after the others and fewer at once, for the memory they take.
    """
    migration, deadline = context.settings.migration, context.deadline
    failure = None
    at_once = pace.at_once(context)
    for large, transfers in ((False, at_once), (True, min(at_once, LARGE_TRANSFERS))):
        chosen = [(path, size) for path, size in files if (size >= PART_CUTOFF) is large]
        if not chosen:
            continue
        names = _names(context, [path for path, _ in chosen], "\n")
        argv = rclone_argv(
            context.places.rclone_conf, source, target, names, transfers, migration.bandwidth,
            hurry=deadline is not None,
        )  # fmt: skip
        try:
            _follow(argv, progress, context, deadline)
        except CommandFailed as error:
            failure = failure or error
        finally:
            names.unlink()
        progress.add(len(chosen), sum(size for _, size in chosen))
    if failure:
        raise failure


def _follow(argv: list[str], progress: Progress, context: Context, deadline: float | None = None) -> None:
    """Run rclone, turning its statistics into progress lines; at the deadline, or without a store, it is ended."""
    errors: list[str] = []
    watch = _Watch(context.bucket)
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        left = threading.TIMEOUT_MAX if deadline is None else max(0.0, deadline - time.monotonic())
        timer = threading.Timer(left, process.kill)
        timer.daemon = True
        timer.start()
        for line in process.stderr:
            try:
                record = json.loads(line)
            except ValueError:
                errors.append(line.strip())
                continue
            stats = record.get("stats")
            if stats:
                context.say(progress.line(stats["transfers"], stats["bytes"]))
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
    """Tells a store that is gone from one that is slow: only while no file gets done is it asked."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._done, self._since, self._silent = 0, time.monotonic(), 0

    def in_vain(self, done: int) -> bool:
        """Whether to give up; to be asked with the number of files done every few seconds."""
        if done != self._done:
            self._done, self._since, self._silent = done, time.monotonic(), 0
        elif time.monotonic() - self._since > STUCK_SECONDS:
            self._silent = 0 if self._bucket.answers() else self._silent + 1
        return self._silent >= SILENT_TIMES


def _names(context: Context, paths: list[str], end: str) -> Path:
    with tempfile.NamedTemporaryFile(
        "w", dir=context.places.var, prefix="names-", delete=False, encoding="utf-8", newline=""
    ) as file:
        try:
            file.writelines(path + end for path in paths)
            file.flush()
        except OSError:
            os.unlink(file.name)
            raise
    return Path(file.name)


def method(context: Context, first: bool) -> str:
    """How to copy now: b2 copies whole trees, so what it left is rclone's, which copies exactly the files named."""
    wanted = context.settings.migration.copy_method
    return "rclone" if wanted == "b2" and not first else wanted


def upload(context: Context, source: Path, entries: Sequence[Entry], progress: Progress, method: str) -> None:
    """Copy local files into the bucket.

    Raises CommandFailed; what was copied until then stays and is compared like all the rest.
    """
    if method == "rclone":
        files = [(entry.path, entry.size) for entry in entries]
        _rclone(context, str(source), f"{REMOTE}:{context.settings.store.bucket}", files, progress)
        return
    if method == "b2":
        b2.sync(context, source, len(entries))
    else:
        names = _names(context, [entry.path for entry in entries], "\0")
        argv = rsync_argv(source, context.places.staging, names, context.settings.migration.bandwidth)
        try:
            context.system.run(argv)
        finally:
            names.unlink()
    progress.add(len(entries), sum(entry.size for entry in entries))


def download(context: Context, target: Path, objects: Sequence[Object], progress: Progress) -> None:
    """Copy objects into `target`, a folder of ours that nothing else uses. Raises CommandFailed."""
    files = [(item.key, item.size) for item in objects]
    _rclone(context, f"{REMOTE}:{context.settings.store.bucket}", str(target), files, progress)
