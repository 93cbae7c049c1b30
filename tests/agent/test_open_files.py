"""That a unit is stopped does not say that its process is gone: who still writes is asked of the kernel."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host import open_files
from agent.host.beneath import Folder
from agent.host.system import System
from agent.model.errors import Problem
from agent.model.phases import Side

from .conftest import Machine
from .moves import fill, go

WAITS = "import sys; print(flush=True); sys.stdin.read()"


@contextlib.contextmanager
def process(setup: str, *arguments: Path | str, inside: tuple[str, ...] = ()) -> Iterator[int]:
    """A process that did this and waits."""
    argv = [*inside, sys.executable, "-c", f"import mmap, os, sys\n{setup}\n{WAITS}", *map(str, arguments)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin and running.stdout
        running.stdout.readline()
        yield running.pid
        running.stdin.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "media-store"
    (folder / "local_content").mkdir(parents=True)
    (folder / "local_content/one").write_bytes(b"one")
    return folder


def test_a_file_that_is_open_for_writing_is_told_with_its_process(store: Path) -> None:
    with process("f = open(sys.argv[1], 'ab')", store / "local_content/one") as number:
        (found,) = open_files.writers(store)
        assert (found.process, found.file) == (number, "local_content/one") and found.program.startswith("python")
        (line,) = System().open_for_writing(store)
        assert f"(process {number}): 'local_content/one'" in line
    assert open_files.writers(store) == []


def test_a_file_that_is_mapped_for_writing_counts_though_it_is_closed(store: Path) -> None:
    setup = "f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close()"
    with process(setup, store / "local_content/one") as number:
        assert [(each.process, each.file) for each in open_files.writers(store)] == [(number, "local_content/one")]


@pytest.mark.parametrize(
    "setup",
    [
        "f = open(sys.argv[1], 'rb')",
        "f = open(sys.argv[1] + '.beside', 'wb'); os.unlink(f.name)",
        "f = open(os.path.dirname(os.path.dirname(sys.argv[1])) + '-beside', 'wb')",
        "os.chdir(os.path.dirname(sys.argv[1]))",
    ],
    ids=["reads", "removed", "beside the store", "is there"],
)
def test_what_cannot_write_to_the_store_is_none(store: Path, setup: str) -> None:
    with process(setup, store / "local_content/one"):
        assert open_files.writers(store) == []


def test_a_process_that_sees_the_store_at_another_path_is_found(store: Path, tmp_path: Path) -> None:
    """As a container does, by a bind mount in a namespace of its own."""
    seen = tmp_path / "seen"
    seen.mkdir()
    bind = f'mount --bind {store.parent} {seen} && exec "$0" "$@"'
    inside = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", bind)
    with process("f = open(sys.argv[1], 'ab')", seen / "media-store/local_content/one", inside=inside):
        assert [each.file for each in open_files.writers(store)] == ["local_content/one"]
    assert list(seen.iterdir()) == []


def test_over_a_mount_the_files_of_the_mount_count(store: Path) -> None:
    system = System()
    with Folder.at(store) as point:
        system.cover(point, "size=64k")
    try:
        assert open_files.writers(store) == []
        with process("f = open(sys.argv[1], 'ab')", store / "new"):
            assert [each.file for each in open_files.writers(store)] == ["new"]
    finally:
        system.unmount(store)


@pytest.mark.parametrize("way", [("mirror", "live"), ("live", "mirror")])
def test_the_sides_are_not_swapped_while_a_process_that_outlived_its_unit_writes(
    server: Machine, way: tuple[str, str]
) -> None:
    """Review, entry 11."""
    fill(server)
    before, after = way
    go(server, before)
    serving = server.journal.serving
    server.system.writing = ["python3 (process 4711): 'local_content/aa/bb/one'"]
    with pytest.raises(Problem, match=r"1 files .* though its services are stopped: python3 \(process 4711\).* -- end"):
        go(server, after)
    assert server.journal.serving is serving and server.journal.window is None
    assert "matrix-synapse.service" in server.system.active
    server.system.writing = []
    assert go(server, after).serving is (Side.BUCKET if after == "live" else Side.LOCAL)


def test_one_that_ends_in_time_holds_nobody_up(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(server)
    go(server, "mirror")
    answers = [["a"], [], [], []]
    monkeypatch.setattr(server.system, "open_for_writing", lambda _: answers.pop(0))
    monkeypatch.setattr(server.system, "wait_until", lambda condition, *_, **__: condition() or condition())
    go(server, "live")
    assert len(answers) < 3
