"""A cache on the server's disk: whose it is, who works on it, and what its program says."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.media import names
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT, Layout
from agent.serving import programs, remote_control, units, watchdog, write_cache
from agent.serving.write_cache import Cache

from .caching import LAST, note, with_cache
from .conftest import Machine


@pytest.fixture
def cache(server: Machine, tmp_path: Path) -> Cache:
    """Of a server that is to have one."""
    return with_cache(server, tmp_path / "cache")


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


@pytest.mark.parametrize(("most", "tidies"), [("3072M", "2457MiB"), ("2G", "1638MiB")])
def test_the_mount_with_a_cache_tidies_its_memory_up_before_it_would_be_ended(
    server: Machine, cache: Cache, most: str, tidies: str
) -> None:
    server.tell(mount={"memory_max": most})
    serves = units.unit_files(server.agent, server.journal.owner)[MOUNT_UNIT].decode()
    assert f"\nMemoryMax={most}\n" in serves and f"\nEnvironment=GOMEMLIMIT={tidies}\n" in serves


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


@pytest.mark.parametrize("name", ["local_content/aa\nbb", "/".join(["local_content", *["x" * 200] * 5])])
def test_a_name_that_no_object_can_have_keeps_no_window_waiting(server: Machine, cache: Cache, name: str) -> None:
    """Whoever owns the media store lays such a file: it never gets up."""
    note(cache, name, dirty=True)
    assert [*cache.owed()] == []
    assert names.told([f"/media/store/{name}"], {"local_content"}) == set()


def test_a_probe_of_ours_is_no_upload(server: Machine, cache: Cache) -> None:
    note(cache, ".matrix-media-store/probe-1", dirty=True)
    assert [*cache.owed()] == []


def test_the_caches_that_a_mount_works_on_are_told_by_its_command_line(
    server: Machine, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cache.lay(server.agent)
    program = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen([*program, "--cache-dir", str(cache.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read(1) == b"\n"  # it has its own command line by now
        monkeypatch.setattr(server.system, "systemctl", lambda *_, check: f"{process.pid}\n")
        assert write_cache.used(server.agent) == [cache]
        server.tell(store={"endpoint": "https://elsewhere.example.com"})
        write_cache.lay(server.agent)
        assert write_cache.wanted(server.agent) not in write_cache.used(server.agent)
        process.kill()
    monkeypatch.setattr(server.system, "systemctl", lambda *_, check: "0\n")
    assert write_cache.used(server.agent) == write_cache.known(server.agent), "all, where none runs"


def test_a_folder_that_somebody_else_may_write_to_holds_no_cache(server: Machine, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    server.tell(mount={"program": "rclone", "cache": "1G", "cache_folder": str(theirs / "cache")})
    with pytest.raises(Problem, match=r"others than root may write to .*theirs.*mount.cacheFolder"):
        write_cache.lay(server.agent)
    assert [*theirs.iterdir()] == []


#: What rclone says of its cache, as long as it has one.
STATS: dict[str, Any] = {"diskCache": {"bytesUsed": 4711}}


class _Program(http.server.BaseHTTPRequestHandler):
    """Answers as rclone's remote control does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        items = [{"size": 10, "tries": 0}, {"size": 20, "tries": 7}, {"size": -1, "tries": 2}]
        told = {"/vfs/queue": {"queue": items}, "/vfs/stats": {"fs": "store:b", **STATS}}[self.path]
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
    assert not remote_control.lacks_cache(where), "nobody answers: it may have one"
    assert remote_control.queue(where) is None and watchdog.owed_for_long(server.agent) == ""
    with socketserver.UnixStreamServer(str(where), _Program) as program:
        thread = threading.Thread(target=program.serve_forever)
        thread.start()
        try:
            assert not remote_control.lacks_cache(where)
            assert remote_control.queue(where) == remote_control.Queue(files=3, bytes=30, failing=1, cached=4711)
            assert watchdog.owed_for_long(server.agent).startswith("1 uploads are on this server's disk alone")
            monkeypatch.setattr(watchdog, "LITTLE_BYTES", 1 << 60)
            assert "3 uploads are on this server's disk alone, and it is nearly full" in watchdog.owed_for_long(
                server.agent
            )
            monkeypatch.delitem(STATS, "diskCache")
            assert remote_control.lacks_cache(where), "its folder could not be made"
        finally:
            program.shutdown()
            thread.join()
