"""What the kernel tells of files that were written through a mount. The bytes are laid by hand, as fanotify(7) says."""

from __future__ import annotations

import errno
import os
import struct
import threading
from pathlib import Path

import pytest

from agent.media.heard import WrittenFiles, hearing
from agent.media.names import ends

CLOSE_WRITE, OVERFLOW = 0x8, 0x4000


def event(number: int, mask: int = CLOSE_WRITE, version: int = 3) -> bytes:
    """Length, version, reserved, length of this, mask, file descriptor, process."""
    return struct.pack("=IBBHQii", 24, version, 0, 24, mask, number, 4711)


def told(*blocks: bytes | OSError) -> WrittenFiles:
    """One that the kernel tells these blocks, and then nothing."""
    heard = WrittenFiles.__new__(WrittenFiles)
    heard._paths, heard._lock, heard._lost = set(), threading.Lock(), False
    heard._queue, heard._root, heard._call = -1, -1, lambda *_: 0
    heard._top, heard._device = "/", ""
    rest = list(blocks)

    def read() -> int:
        if not rest:
            return 0
        block = rest.pop(0)
        if isinstance(block, OSError):
            raise block
        heard._hear(block)
        return 1

    heard._read = read  # type: ignore[method-assign]
    heard._waiting = lambda: len(rest)  # type: ignore[method-assign]
    return heard


def opened(path: Path) -> int:
    path.touch()
    return os.open(path, os.O_RDONLY)


def test_each_file_is_told_once_by_the_path_that_its_writer_saw_and_is_closed(tmp_path: Path) -> None:
    numbers = [opened(tmp_path / name) for name in ("one", "two")]
    heard = told(event(numbers[0]), event(numbers[1]))
    assert heard.take() == {str(tmp_path / "one"), str(tmp_path / "two")}
    assert heard.take() == set()
    for number in numbers:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_a_file_that_was_removed_has_its_name_still(tmp_path: Path) -> None:
    number = opened(tmp_path / "one")
    (tmp_path / "one").unlink()
    paths = told(event(number)).take()
    assert paths and str(tmp_path / "one") in paths


@pytest.mark.parametrize(
    "block", [event(-1, OVERFLOW), event(-1), event(-1, version=4), OSError(errno.ENOTCONN, "dead")]
)
def test_what_was_dropped_or_is_not_understood_makes_all_of_it_worthless(block: bytes | OSError) -> None:
    heard = told(block)
    assert heard.take() is None and heard.take() is None


@pytest.mark.parametrize("gone", [errno.ENOENT, errno.ESTALE])
def test_a_file_that_cannot_be_opened_since_it_is_gone_is_nothing_to_fetch(
    gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = WrittenFiles.__new__(WrittenFiles)
    heard._queue, answers = 99, iter([OSError(gone, "gone"), BlockingIOError(errno.EAGAIN, "nothing")])

    def read(number: int, size: int) -> bytes:
        raise next(answers)

    monkeypatch.setattr(os, "read", read)
    assert (heard._read(), heard._read()) == (True, False)


def test_a_thread_that_hangs_in_the_mount_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = told()
    heard._lock.acquire()
    monkeypatch.setattr("agent.host.fanotify.PATIENCE", 0.01)
    assert heard.take() is None


def test_what_another_program_mounted_there_since_was_not_listened_to(tmp_path: Path) -> None:
    heard = told(event(opened(tmp_path / "one")))
    heard._device = "0:99"
    assert heard.take() is None


def test_where_no_bucket_is_mounted_nobody_hears(tmp_path: Path) -> None:
    with hearing(tmp_path) as heard:
        assert heard is None


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/media/store/local_content/aa/bb/one", ["local_content/aa/bb/one"]),
        ("/local_content/aa/bb/one", ["local_content/aa/bb/one"]),
        ("/remote_content/store/local_content/aa", ["remote_content/store/local_content/aa", "local_content/aa"]),
        ("/media/store/.matrix-media-store/owner.json", []),
        ("/media/store/local_content_of_others/aa", []),
    ],
)
def test_a_file_may_be_called_what_any_end_of_its_path_says(path: str, names: list[str]) -> None:
    assert [*ends(path, {"local_content", "remote_content"})] == names
