"""What the kernel told of once is not forgotten, whatever fails between hearing of it and having it in the bucket."""

from __future__ import annotations

import os
import shutil

import pytest

from agent.migration import changes, held
from agent.migration.window import Clock
from agent.model.phases import Phase
from agent.state.run import Run

from .conftest import Machine
from .holding import fit, stopped
from .moves import go
from .window_of import Told, counts, mirrored

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


def test_a_file_with_another_name_is_looked_at_until_the_window(server: Machine) -> None:
    """What is written through the other name is told of that one alone."""
    told = Told()
    known = mirrored(server, told)
    os.link(server.store / "one/deep", server.store / "local_content/linked")
    told.paths = {"local_content/linked"}
    came, known = changes.catch_up(server.run(), known)
    assert came == 1 and server.bucket.objects["local_content/linked"] == b"deep"
    told.paths = {"one/deep"}
    (server.store / "one/deep").write_bytes(b"DEEP")
    assert counts(server, known) == (2, 0)
    assert server.bucket.objects["local_content/linked"] == b"DEEP"


def test_what_lies_in_a_folder_that_is_left_out_is_not_kept_in_mind(server: Machine) -> None:
    told = Told()
    known = mirrored(server, told)
    told.paths = {"url_cache", "url_cache/2026-11-26/x", ".matrix-media-store-x", "one/deep"}
    heard = changes.hear(known)
    assert heard.changed and heard.changed.paths == {"one/deep"}
