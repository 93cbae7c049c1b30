"""A cache in front of the bucket: what it owes is known from its notes, and no window goes on before it is up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.migration import pending
from agent.model.errors import Problem
from agent.model.phases import Phase, Side
from agent.serving import write_cache
from agent.serving.write_cache import Cache

from .caching import LAST, Heard, note, with_cache
from .conftest import Machine
from .holding import stopped
from .moves import FILES, go


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


class Clock:
    """Seconds pass only while somebody waits for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Machine) -> None:
        self.began = self.now = time.monotonic()
        monkeypatch.setattr("agent.migration.pending.time.monotonic", lambda: self.now)
        monkeypatch.setattr(server.system, "pause", self.pause)

    def pause(self, seconds: float) -> None:
        self.now += seconds


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


@pytest.mark.parametrize("number", [1, 16, 17])
@pytest.mark.parametrize("method", ["auto", "hold", "restart"])
def test_what_does_not_get_up_keeps_the_bucket_serving_and_nothing_is_stopped(
    server: Machine, cache: Cache, monkeypatch: pytest.MonkeyPatch, method: str, number: int
) -> None:
    server.tell(cutover={"method": method})
    clock = Clock(monkeypatch, server)
    for each in range(number):
        note(cache, f"{LAST}-{each:02}", dirty=True)
    told = f"{number} uploads are on this server's disk alone .*{LAST}-00.*nothing was moved"
    with pytest.raises(Problem, match=told):
        go(server, "mirror")
    assert 60 <= clock.now - clock.began < 90
    assert server.journal.serving is Side.BUCKET and server.journal.window is None and not stopped(server)
    assert cache.owes(f"{LAST}-00")


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


def test_a_cache_that_no_mount_works_on_any_more_is_brought_up_before_a_window_and_keeps_nobody(
    server: Machine, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power failed between new files and the mount anew, which has no cache now."""
    write_cache.lay(server.agent)
    for name, there in ((LAST, None), (f"{LAST}-2", b"alone"), (f"{LAST}-3", b"other")):
        note(cache, name, dirty=True)
        (cache.content / name).parent.mkdir(parents=True, exist_ok=True)
        (cache.content / name).write_bytes(b"alone")
        if there:
            server.bucket.objects[name] = there
    server.tell(mount={"cache": ""})
    monkeypatch.setattr(write_cache, "used", lambda _: [])
    go(server, "mirror")
    assert server.tree()[LAST] == b"alone" and not stopped(server)
    assert cache.folder.exists() and {*cache.owed()} == {f"{LAST}-3"}, "nobody knows which is right"
