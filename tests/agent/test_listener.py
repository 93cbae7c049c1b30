"""What the kernel writes is understood, or worth nothing. The bytes are laid by hand, as fanotify(7) describes them."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from pathlib import Path

import pytest

from agent.host import fanotify
from agent.host.fanotify import Lost
from agent.media import listener
from agent.media.listener import listening, parse

CREATE, DELETE, CLOSE_WRITE, ATTRIB, ON_FOLDER, OVERFLOW = 0x100, 0x200, 0x8, 0x4, 0x40000000, 0x4000
MOVED_TO = 0x80
HANDLE = struct.pack("=Ii", 8, 1) + b"\x01\x00Q\x00\xed9\x0f\xab"


def event(mask: int, name: bytes, handle: bytes = HANDLE, kind: int = 2, version: int = 3) -> bytes:
    """One event with one record: the folder's handle, and the name in it, padded to four bytes."""
    body = b"FILESYST" + handle + name + b"\0"
    body += b"\0" * (-len(body) % 4)
    info = struct.pack("=BBH", kind, 0, 4 + len(body)) + body
    return struct.pack("=IBBHQii", 24 + len(info), version, 0, 24, mask, -1, 4711) + info


def test_each_event_tells_its_folder_and_its_name() -> None:
    other = struct.pack("=Ii", 4, 129) + b"abcd"
    block = event(CREATE, b"one") + event(DELETE | CLOSE_WRITE, "caf\u00e9 \u4e2d".encode(), other)
    assert list(parse(block)) == [(HANDLE, b"one", False), (other, "caf\u00e9 \u4e2d".encode(), False)]


def test_a_folder_is_told_of_if_it_came_or_went_not_if_its_rights_changed() -> None:
    block = event(CREATE | ON_FOLDER, b"new") + event(ATTRIB | ON_FOLDER, b"old") + event(ATTRIB, b"file")
    assert [name for _, name, _ in parse(block)] == [b"new", b"file"]
    moved = event(MOVED_TO | ON_FOLDER, b"folder") + event(MOVED_TO, b"file")
    assert [(name, moved_in) for _, name, moved_in in parse(moved)] == [(b"folder", True), (b"file", False)]


@pytest.mark.parametrize(
    "strange",
    [
        struct.pack("=IBBHQii", 24, 3, 0, 24, OVERFLOW, -1, 0),
        event(CREATE, b"x", version=4),
        event(CREATE, b"x", kind=1),
        struct.pack("=IBBHQii", 24, 3, 0, 24, CREATE, -1, 0) + event(CREATE, b"x"),
    ],
    ids=["an overflow", "another version", "another record", "no record"],
)
def test_what_is_lost_or_not_understood_is_not_passed_over(strange: bytes) -> None:
    with pytest.raises(Lost):
        list(parse(event(CREATE, b"one") + strange))


def test_a_block_that_ends_early_is_not_passed_over() -> None:
    with pytest.raises(struct.error):
        list(parse(event(CREATE, b"x")[:30]))


@pytest.mark.parametrize(
    "error",
    [OSError(1, "Operation not permitted"), ImportError("ctypes"), AttributeError("old"), RuntimeError("threads")],
)
def test_where_the_kernel_may_not_be_asked_there_is_no_listener(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(fanotify, "_kernel", refuse)
    with listening(tmp_path) as found:
        assert found is None


MOUNTS = """\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 25 8:2 / /data rw,relatime shared:7 - xfs /dev/sda2 rw
32 25 0:44 / /net rw,relatime shared:8 - nfs4 host:/export rw
33 31 8:1 /elsewhere /data/a\\040b/store/inside rw,relatime - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("device", "top", "refusal"),
    [
        (os.makedev(8, 1), "/matrix/store", None),
        (os.makedev(8, 2), "/data/store", None),
        (os.makedev(0, 44), "/net/store", "nfs4"),
        (os.makedev(0, 99), "/unknown", "unknown"),
        (os.makedev(8, 2), "/data/a b/store", "mounted inside"),
        (os.makedev(8, 2), "/data/a b/store/inside", None),
    ],
)
def test_the_kernels_word_is_taken_on_a_disks_file_system_with_nothing_mounted_inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: int, top: str, refusal: str | None
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr("builtins.open", lambda path, *a, real=open, **b: real(tmp_path / "mountinfo", *a, **b))
    with pytest.raises(OSError, match=refusal) if refusal else contextlib.nullcontext():
        listener._check_file_system(device, top)


def test_what_is_written_all_the_time_by_others_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the kernel holds by now is waited for: a database on the same disk never stops writing."""
    endless = listener.Listener.__new__(listener.Listener)
    endless._lock, endless._lost = threading.Lock(), False
    reads = iter(range(1000))
    monkeypatch.setattr(endless, "_waiting", lambda: 10)
    monkeypatch.setattr(endless, "_read", lambda: 4 if next(reads) >= 0 else 0)
    assert endless._ask(lambda: "found") == "found" and next(reads) == 3


def test_events_are_counted_as_the_kernel_counts_those_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    try:
        hearing = listener.Listener.__new__(listener.Listener)
        hearing._queue, hearing._names = reader, {HANDLE: set()}
        assert hearing._waiting() == 0
        os.write(writer, event(CREATE, b"one") + event(DELETE, b"two"))
        assert hearing._waiting() >= 2, "a pipe counts all bytes, fanotify the heads alone"
        assert hearing._read() == 2 and hearing._names == {HANDLE: {b"one", b"two"}}
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(("refusals", "known"), [(2, True), (99, False)])
def test_a_folder_that_is_not_whole_yet_is_asked_for_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, refusals: int, known: bool
) -> None:
    """The kernel says ENOMEM for the handle of a folder whose number another is just taking, and ESTALE afterwards."""
    answers = iter([OSError(errno.ENOMEM, "Cannot allocate memory")] * refusals + [OSError(errno.ESTALE, "stale")])
    hearing = listener.Listener.__new__(listener.Listener)
    hearing._root, hearing._names = 0, {}
    monkeypatch.setattr(hearing, "_call", lambda *_: (_ for _ in ()).throw(next(answers)), raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with contextlib.nullcontext() if known else pytest.raises(Lost):
        hearing._hear(event(CREATE, b"part"))
        assert hearing._names == {HANDLE: None}, "a folder that is gone is none of the store's"


def test_a_folder_that_was_elsewhere_counts_once_it_was_moved_into_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    top = struct.pack("=Ii", 8, 1) + b"the top."
    where: dict[bytes, str | None] = {HANDLE: None, top: ""}
    hearing = listener.Listener.__new__(listener.Listener)
    hearing._names, hearing._top = {}, str(tmp_path)
    hearing._root = os.open(tmp_path, os.O_PATH)
    try:
        monkeypatch.setattr(hearing, "_inside", where.__getitem__)
        hearing._hear(event(CLOSE_WRITE, b"before"))
        hearing._hear(event(MOVED_TO | ON_FOLDER, b"folder", top))
        where[HANDLE] = "folder"
        assert hearing._taken() == {"folder"}
        hearing._hear(event(CLOSE_WRITE, b"afterwards"))
        assert hearing._taken() == {"folder/afterwards"} and hearing._taken() == set()
    finally:
        os.close(hearing._root)
