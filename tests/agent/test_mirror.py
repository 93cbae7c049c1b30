"""The first copy, and those that follow."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from agent.copying import progress
from agent.copying.progress import Progress
from agent.media import checksums
from agent.migration import mirror
from agent.model.errors import CommandFailed, Problem
from agent.model.items import Entry
from agent.state.records import Owner

from .conftest import Machine
from .window_of import FILES, fill


def test_a_file_that_cannot_be_read_does_not_keep_the_others_and_is_named(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    real = checksums.checksums

    def unreadable(file: IO[bytes], size: int, between: Callable[[], None]) -> tuple[str, str]:
        if os.readlink(f"/proc/self/fd/{file.fileno()}").endswith("one/deep"):
            raise OSError(errno.EIO, "Input/output error")
        return real(file, size, between)

    monkeypatch.setattr(checksums, "checksums", unreadable)
    with pytest.raises(Problem, match="1 files are not equal.*'one/deep' first"):
        mirror.mirror(server.run())
    assert server.bucket.objects.keys() >= FILES.keys() - {"one/deep"}


def test_a_large_first_copy_goes_in_lots_and_says_how_far_the_whole_is(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LOT_FILES", 2)
    fill(server)
    lots: list[int] = []
    lines: list[str] = []
    real = server.copier.upload

    def upload(source: Path, entries: Sequence[Entry], owner: Owner, how_far: Progress, *rest: Any) -> None:
        lots.append(len(entries))
        how_far.add(len(entries), 0)
        lines.append(how_far.line(0, 0).partition(",")[0])
        real(source, entries, owner, how_far, *rest)

    monkeypatch.setattr(server.copier, "upload", upload)
    mirror.mirror(server.run())
    assert lots == [2, 2, 2]
    assert lines == ["copied 2 of 6 files", "copied 4 of 6 files", "copied 6 of 6 files"]
    assert server.bucket.objects == FILES


def test_a_store_that_is_gone_ends_the_copy_after_the_first_lot(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LOT_FILES", 1)
    fill(server)
    tried: list[Entry] = []

    def fail(source: Path, entries: Sequence[Entry], *_: Any) -> None:
        tried.extend(entries)
        monkeypatch.setattr(server.bucket, "list", refuse)
        raise CommandFailed(["rclone"], 1, "connection refused")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(server.copier, "upload", fail)
    with pytest.raises(OSError, match="connection refused"):
        mirror.mirror(server.run())
    assert len(tried) == 1


def test_a_comparison_of_what_is_there_already_says_how_far_it_is(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who copied with other tools before has all of it read here, for hours, and nothing to copy."""
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", -1)
    monkeypatch.setattr(checksums, "LOT", 2)
    fill(server)
    server.bucket.objects.update(FILES)
    mirror.mirror(server.run())
    told = [line.partition(",")[0] for line in server.said if "compared" in line]
    assert told == [f"mirror: compared {number} of {len(FILES)} files" for number in (2, 4, 6)]


def test_files_are_read_for_their_checksums_while_they_are_copied(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    copying, reading = threading.Event(), threading.Event()
    real_upload, real_checksum = server.copier.upload, checksums.checksum_files

    def upload(*told: Any) -> None:
        copying.set()
        assert reading.wait(10), "the copy would have to end first"
        real_upload(*told)

    def checksum(*told: Any) -> None:
        if len(told) == 3:  # not what a comparison reads
            assert copying.wait(10), "the copy would have to wait"
            reading.set()
        real_checksum(*told)

    monkeypatch.setattr(server.copier, "upload", upload)
    monkeypatch.setattr(checksums, "checksum_files", checksum)
    mirror.mirror(server.run())
    assert server.bucket.objects == FILES
