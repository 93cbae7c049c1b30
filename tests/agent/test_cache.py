"""A cache in front of the bucket: what it owes is known from its notes, and no window goes on before it is up."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.migration import pending
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT, Layout
from agent.model.phases import Phase, Side
from agent.serving import programs, remote_control, units, watchdog, write_cache
from agent.serving.write_cache import Cache

from .conftest import Machine
from .holding import fit, stopped
from .moves import FILES, go

LAST = "local_content/zz/zz/last"


class Heard:
    """Tells the names that a test says, to everybody who listens."""

    def __init__(self) -> None:
        self.listeners: list[set[str]] = []

    def tell(self, name: str) -> None:
        for names in self.listeners:
            names.add(f"/media/store/{name}")

    @contextlib.contextmanager
    def listen(self, mount: Path) -> Iterator[Any]:
        names: set[str] = set()
        self.listeners.append(names)

        class One:
            @staticmethod
            def take() -> set[str] | None:
                told = {*names}
                names.clear()
                return told

        yield One()


def note(cache: Cache, name: str, dirty: bool) -> None:
    """As rclone writes it."""
    path = cache.notes / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Size": 3, "Rs": [], "Fingerprint": "", "Dirty": dirty}, indent="\t"))


def with_cache(server: Machine, folder: Path) -> Cache:
    """Services can be held, and there is to be a cache."""
    fit(server)
    folder.mkdir(mode=0o700)
    server.tell(mount={"program": "rclone", "cache": "1G", "cache_folder": str(folder)})
    cache = write_cache.wanted(server.agent)
    assert cache
    return cache


@pytest.fixture
def heard(server: Machine) -> Heard:
    told = Heard()
    server.hear = told.listen
    return told


@pytest.fixture
def cache(server: Machine, heard: Heard, tmp_path: Path) -> Cache:
    """Of a server whose bucket serves."""
    found = with_cache(server, tmp_path / "cache")
    go(server, "live")
    server.system.log.clear()
    return found


def goes_up(server: Machine, cache: Cache, name: str, body: bytes) -> None:
    server.bucket.objects[name] = body
    note(cache, name, dirty=False)


def test_what_is_owed_is_told_by_the_notes_and_one_that_is_being_written_counts(server: Machine, cache: Cache) -> None:
    note(cache, "local_content/aa/bb/up", dirty=False)
    note(cache, LAST, dirty=True)
    note(cache, "local_content/aa/bb/now", dirty=False)
    (cache.notes / "local_content/aa/bb/now").write_text('{"Size": 3, "R')
    assert {*cache.owed()} == {LAST, "local_content/aa/bb/now"}
    assert not cache.owes("local_content/aa/bb/nothing") and not cache.owes("local_content/aa")


@pytest.mark.parametrize("when", ["as services stand still", "before that"])
def test_services_go_on_until_the_last_upload_is_up_and_it_comes_home(
    server: Machine, cache: Cache, heard: Heard, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    tries = []

    def uploaded() -> None:
        tries.append(server.journal.serving)
        if len(tries) == 1:
            note(cache, LAST, dirty=True)
            heard.tell(LAST)

    def later(seconds: float) -> None:
        if tries:
            goes_up(server, cache, LAST, b"new")

    monkeypatch.setattr(server.system, "pause", later)
    if when == "before that":
        real = server.run

        def begun(*args: Any) -> Any:
            run = real(*args)
            monkeypatch.setattr(run.copier, "prepare", uploaded)
            return run

        monkeypatch.setattr(server, "run", begun)
    else:
        server.system.on_freeze = uploaded
    assert go(server, "mirror").phase is Phase.MIRROR
    assert server.tree().items() >= (FILES | {LAST: b"new"}).items()
    assert not stopped(server) and tries[0] is (Side.NOBODY if "still" in when else Side.BUCKET)
    assert not cache.folder.exists(), "the local store serves: it is of no use any more"


@pytest.mark.parametrize("method", ["hold", "restart"])
def test_what_does_not_get_up_keeps_the_bucket_serving_and_nothing_is_stopped(
    server: Machine, cache: Cache, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    server.tell(cutover={"method": method})
    monkeypatch.setattr(pending, "STUCK_SECONDS", 0)
    note(cache, LAST, dirty=True)
    with pytest.raises(Problem, match=f"1 uploads are on this server's disk alone .*{LAST}.*nothing was moved"):
        go(server, "mirror")
    assert server.journal.serving is Side.BUCKET and server.journal.window is None and not stopped(server)
    assert cache.owes(LAST)


def test_with_services_stopped_the_last_upload_is_waited_for(
    server: Machine, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tell(cutover={"method": "restart"})
    server.hear = lambda mount: contextlib.nullcontext()
    server.system.on_stop = lambda: note(cache, LAST, dirty=True)
    real = server.system.wait_until

    def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        if server.journal.serving is Side.NOBODY and cache.owes(LAST):
            goes_up(server, cache, LAST, b"new")
        return real(condition, seconds, every)

    monkeypatch.setattr(server.system, "wait_until", wait_until)
    assert go(server, "mirror").phase is Phase.MIRROR
    assert server.tree()[LAST] == b"new"


def test_the_mount_that_serves_has_the_cache_and_the_one_beside_has_none(server: Machine, tmp_path: Path) -> None:
    cache = with_cache(server, tmp_path / "cache")
    files = units.unit_files(server.agent, server.journal.owner)
    serves, beside = files[MOUNT_UNIT].decode(), files[STAGING_UNIT].decode()
    assert f"--cache-dir {cache.folder} --vfs-cache-mode full --vfs-cache-max-size 1G" in serves
    assert "RuntimeDirectory=matrix-media-store\n" in serves and f" {tmp_path / 'cache'}\n" in serves
    assert "--vfs-cache-mode off" in beside and "RuntimeDirectory" not in beside and "--rc" not in beside
    server.tell(mount={"cache": ""})
    without = units.unit_files(server.agent, server.journal.owner)[MOUNT_UNIT].decode()
    assert "--vfs-cache-mode off" in without and "RuntimeDirectory" not in without
    server.tell(mount={"program": "goofys"})
    assert (
        "NoNewPrivileges=yes\n\n[Install]" in units.unit_files(server.agent, server.journal.owner)[MOUNT_UNIT].decode()
    )


def test_two_stores_with_buckets_of_one_name_have_caches_of_their_own(server: Machine, tmp_path: Path) -> None:
    first = with_cache(server, tmp_path / "cache")
    server.tell(store={"endpoint": "https://elsewhere.example.com"})
    second = write_cache.wanted(server.agent)
    assert second and second.folder != first.folder and second.path == first.path
    assert str(second.folder) in programs.command(server.agent, Path("/at"), 1, 1, serves=True)


def test_a_cache_of_no_use_goes_and_one_that_owes_something_stays_and_is_named(server: Machine, cache: Cache) -> None:
    write_cache.lay(server.agent)
    server.tell(store={"endpoint": "https://elsewhere.example.com"})
    write_cache.lay(server.agent)
    now = write_cache.wanted(server.agent)
    note(cache, LAST, dirty=True)
    assert write_cache.remove_unused(server.agent, now) == [LAST]
    assert cache.folder.exists()
    note(cache, LAST, dirty=False)
    assert write_cache.remove_unused(server.agent, now) == []
    assert not cache.folder.exists() and now and now.folder.exists()


@pytest.mark.parametrize("is_there", [False, True])
def test_what_a_mount_owed_that_was_replaced_as_the_power_failed_is_brought_into_the_bucket(
    server: Machine, cache: Cache, is_there: bool
) -> None:
    write_cache.lay(server.agent)
    note(cache, LAST, dirty=True)
    (cache.content / LAST).parent.mkdir(parents=True)
    (cache.content / LAST).write_bytes(b"alone")
    if is_there:
        server.bucket.objects[LAST] = b"newer"
    server.tell(mount={"cache": ""})
    pending.remove_caches(server.run())
    assert server.bucket.objects[LAST] == (b"newer" if is_there else b"alone")
    assert cache.folder.exists() == is_there, "what cannot be brought there stays"
    assert (LAST in server.said[-1]) == is_there


def test_a_folder_that_somebody_else_may_write_to_holds_no_cache(server: Machine, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    server.tell(mount={"program": "rclone", "cache": "1G", "cache_folder": str(theirs / "cache")})
    with pytest.raises(Problem, match=r"others than root may write to .*theirs.*mount.cacheFolder"):
        write_cache.lay(server.agent)
    assert [*theirs.iterdir()] == []


class _Program(http.server.BaseHTTPRequestHandler):
    """Answers as rclone's remote control does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        items = [{"size": 10, "tries": 0}, {"size": 20, "tries": 7}, {"size": -1, "tries": 2}]
        told = {"/vfs/queue": {"queue": items}, "/vfs/stats": {"diskCache": {"bytesUsed": 4711}}}[self.path]
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


def test_the_mounts_program_says_what_waits_and_the_watchdog_tells_what_fails(
    server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cache(server, tmp_path / "cache")
    # A socket's path may have 108 bytes only: https://man7.org/linux/man-pages/man7/unix.7.html
    where = Path(tempfile.mkdtemp(), "rclone.sock")
    monkeypatch.setattr(Layout, "remote_control", where)
    assert remote_control.queue(where) is None and watchdog.owed_for_long(server.agent) == ""
    with socketserver.UnixStreamServer(str(where), _Program) as program:
        thread = threading.Thread(target=program.serve_forever)
        thread.start()
        try:
            assert remote_control.queue(where) == remote_control.Queue(files=3, bytes=30, failing=1, cached=4711)
            assert watchdog.owed_for_long(server.agent).startswith("1 uploads are on this server's disk alone")
        finally:
            program.shutdown()
            thread.join()
