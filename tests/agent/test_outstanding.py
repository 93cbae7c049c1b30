"""What the kernel told of once is not forgotten, whatever fails between hearing of it and having it in the bucket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.migration import changes, held
from agent.migration.window import Clock
from agent.model.items import Entry
from agent.model.phases import Phase
from agent.state.run import Run

from .conftest import Machine
from .holding import fit, stopped
from .moves import go
from .window_of import Told, counts, in_window, mirrored

LATE = "local_content/zz/zz/late"


@pytest.fixture(autouse=True)
def nothing_is_too_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "TICK", -(10**9))


def test_what_came_as_services_were_held_is_there_after_they_were_stopped_instead(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    monkeypatch.setattr(held, "TRYING_SECONDS", 0)
    names = {f"local_content/zz/zz/{number}" for number in range(200)}
    waiting = [names]

    def late() -> None:
        for name in waiting.pop() if waiting else ():
            server.write(name, b"late")

    server.system.on_freeze = late
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and names <= server.bucket.objects.keys()


def test_what_came_in_a_round_that_was_too_slow_is_there_after_the_hold(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    real, slow = changes.catch_up, [True]

    def catch_up(run: Run, known: changes.Baseline, clock: Clock | None = None) -> tuple[int, changes.Baseline]:
        if clock and slow:
            slow.pop()
            server.write(LATE, b"late")
            clock.deadline = 0.0001  # an earlier round took it all
        return real(run, known, clock)

    monkeypatch.setattr(changes, "catch_up", catch_up)
    assert go(server, "live").phase is Phase.LIVE
    assert not slow and not stopped(server) and server.bucket.objects[LATE] == b"late"


def test_what_came_in_the_round_that_gave_the_hold_up_is_there_after_services_were_stopped(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    real = changes.catch_up

    def catch_up(run: Run, known: changes.Baseline, clock: Clock | None = None) -> tuple[int, changes.Baseline]:
        server.write(LATE, b"late")
        (server.store / "local_content/yy").mkdir(exist_ok=True)  # it must be looked at again
        return real(run, known, clock)

    monkeypatch.setattr(changes, "catch_up", catch_up)
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0)
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and server.bucket.objects[LATE] == b"late"


def test_names_that_are_gone_from_a_folder_are_gone_still_though_something_new_is_in_it(server: Machine) -> None:
    told = Told()
    known = mirrored(server, told)
    folder = "local_thumbnails/aa/bb/one"
    shutil.rmtree(server.store / folder)
    server.write(f"{folder}/64", b"another size")
    told.paths = {folder, f"{folder}/64"}
    _, known = changes.catch_up(server.run(), known)
    told.paths = set()
    assert counts(server, known) == (0, 1)


@pytest.mark.parametrize("written", ["one/deep", "local_content/linked"])
def test_where_a_file_gets_another_name_the_window_walks(server: Machine, written: str) -> None:
    """What is written by one name is told of that one alone."""
    told = Told()
    known = mirrored(server, told)
    os.link(server.store / "one/deep", server.store / "local_content/linked")
    told.paths = {"local_content/linked"}
    came, heard = changes.catch_up(server.run(), known)
    assert came == 0 and heard.changed is None
    told.paths = {written}
    (server.store / written).write_bytes(b"DEEP")
    found = in_window(server, known)
    assert found.changed == 2 and found.walked
    assert server.bucket.objects["local_content/linked"] == server.bucket.objects["one/deep"] == b"DEEP"


@pytest.mark.parametrize("walked", [False, True])
def test_a_folder_that_comes_back_with_the_times_that_it_had_is_not_taken_for_equal(
    server: Machine, walked: bool
) -> None:
    """Meanwhile another one was in its place, and was sent."""
    told = Told()
    known = mirrored(server, told)
    aside = server.root / "aside"
    os.rename(server.store / "one", aside)
    server.write("one/deep", b"another")
    told.paths = {"one", "one/deep"}
    came, known = changes.catch_up(server.run(), known)
    assert came == 1 and server.bucket.objects["one/deep"] == b"another"
    shutil.rmtree(server.store / "one")
    os.rename(aside, server.store / "one")
    told.paths = None if walked else {"one"}
    assert counts(server, known) == (1, 0)
    assert server.bucket.objects["one/deep"] == b"deep"


def test_a_window_that_walks_sends_nothing_again_and_sees_what_is_gone_beside_what_came_back(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    known = mirrored(server, told)
    os.rename(server.store / "one", server.root / "aside")
    server.write("one/deep", b"another")
    server.write(LATE, b"late")
    told.paths = {"one", "one/deep", LATE}
    came, known = changes.catch_up(server.run(), known)
    assert came == 2
    shutil.rmtree(server.store / "one")
    os.rename(server.root / "aside", server.store / "one")
    os.unlink(server.store / "at the top")
    told.paths = None
    sent: list[str] = []
    upload = server.copier.upload

    def noted(source: Path, entries: Sequence[Entry], *more: Any) -> None:
        sent.extend(entry.path for entry in entries)
        upload(source, entries, *more)

    monkeypatch.setattr(server.copier, "upload", noted)
    assert counts(server, known) == (1, 1)
    assert sent == ["one/deep"], "what was brought over before is not sent while services are stopped"


def test_names_that_were_gone_in_a_window_that_was_given_up_are_gone_in_the_next(server: Machine) -> None:
    told = Told()
    known = mirrored(server, told)
    os.unlink(server.store / "one/deep")
    told.paths = {"one/deep"}
    assert in_window(server, known).gone == 1
    told.paths = None
    assert in_window(server, known).gone == 1


def test_what_is_not_there_and_never_was_ours_is_not_kept_in_mind(server: Machine) -> None:
    told = Told()
    known = mirrored(server, told)
    told.paths = {f"local_content/zz/{number}.tmp" for number in range(9)}
    _, known = changes.catch_up(server.run(), known)
    assert known.changed and known.changed.paths == set()


def test_what_lies_in_a_folder_that_is_left_out_is_not_kept_in_mind(server: Machine) -> None:
    told = Told()
    known = mirrored(server, told)
    told.paths = {"url_cache", "url_cache/2026-11-26/x", ".matrix-media-store-x", "one/deep"}
    heard = changes.hear(known)
    assert heard.changed and heard.changed.paths == {"one/deep"}
