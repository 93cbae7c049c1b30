"""What a hostile reader of the move found: two addresses of one bucket, a staging mount that serves, a full disk."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from agent.commands import mount as verb
from agent.commands import under_way
from agent.commands.arguments import Command
from agent.host.files import write_atomic
from agent.migration import move, recovery, unaccounted
from agent.migration.across import Stores
from agent.model.errors import Problem, StoreError
from agent.model.layout import STAGING_UNIT, WORK_UNIT
from agent.model.phases import Side, Stage, Window
from agent.serving import hold, mount
from agent.setup import move as beginning
from agent.state import moving, work
from agent.state.run import Run

from .conftest import Machine
from .fakes import SYNAPSE
from .holding import hearing
from .moving import NEW, OLD, ask, change, go_on, live, pretend, served, told


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)


def test_a_bucket_is_not_taken_for_another_one_where_it_has_two_addresses(server: Machine) -> None:
    live(server)
    server.buckets[NEW] = server.buckets[OLD]
    with pytest.raises(Problem, match="by another address"):
        ask(server)
    assert not server.layout.moving.exists() and not any("/same/" in key for key in server.bucket.objects)


def test_a_mount_that_serves_from_the_staging_path_is_not_ended_by_the_beginning_of_a_move(server: Machine) -> None:
    live(server)
    server.system.start([STAGING_UNIT])
    mount.show_staging(server.agent, lambda: None)
    with pytest.raises(Problem, match="serves still"):
        ask(server)
    assert server.system.mounted(server.store)


def test_who_is_let_go_before_the_decision_never_writes_into_the_new_bucket(server: Machine) -> None:
    """The agent was killed between the mounts and the journal, and recovery did not come in time."""
    live(server)
    ask(server)
    server.system.start([STAGING_UNIT])
    server.hold(serving=Side.NOBODY, window=(Window.MOVE, Stage.SWAPPING), units=[SYNAPSE])
    mount.show_staging(server.agent, lambda: None)
    server.layout.held.write_text('{"groups": []}')
    hold.let_go(server.agent)
    assert not server.system.mounted(server.store), "nobody can write into a bare mount point"
    recovery.recover(server.run())
    assert served(server) == OLD


def test_an_older_content_never_replaces_a_newer_one_though_the_last_look_was_interrupted(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    name, freezes, sends = "local_thumbnails/aa/bb/one/32-32-image-png-crop", list[int](), list[int]()
    server.hear = hearing(server, {name, "local_content/aa/bb/unheard"})
    monkeypatch.setattr(unaccounted, "purged", lambda *_: set())
    real = Stores.send

    def at_freeze() -> None:
        freezes.append(1)
        if len(freezes) == 1:
            server.buckets[OLD].objects |= {name: b"unheard", "local_content/aa/bb/unheard": b"unheard"}
        else:
            server.buckets[NEW].objects[name] = b"newer"

    def send(self: Stores, *arguments: Any, **named: Any) -> None:
        if len(freezes) == 2 and not sends:
            sends.append(1)
            raise StoreError(503, "SlowDown", "x")
        real(self, *arguments, **named)

    server.system.on_freeze = at_freeze
    monkeypatch.setattr(Stores, "send", send)
    with pytest.raises(StoreError):
        change(server)
    go_on(server)
    assert server.buckets[NEW].objects[name] == b"newer"
    assert server.buckets[NEW].objects["local_content/aa/bb/unheard"] == b"unheard"


def test_a_move_that_was_over_but_for_forgetting_it_is_forgotten(server: Machine) -> None:
    live(server)
    ask(server)
    found = moving.read(server.layout)
    assert found
    moving.bring_in(server.layout, server.system, found)
    beginning.give_up(told(server).run())
    assert not server.layout.moving.exists() and told(server).settings.store.bucket == NEW


def test_a_full_disk_after_the_decision_keeps_no_mount_down(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    live(server)
    server.layout.reserve.write_bytes(b"reserve")

    def write_room(path: Path, data: bytes, mode: int = 0o600) -> bool:
        if server.layout.reserve.exists():
            raise OSError(errno.ENOSPC, "no room")
        return write_atomic(path, data, mode)

    monkeypatch.setattr("agent.state.moving.write_atomic", write_room)
    change(server)
    assert served(server) == NEW and not server.journal.owed


def test_on_the_way_home_a_store_that_was_left_and_is_gone_holds_nobody_up(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    ask(server)

    def away(*_: object) -> None:
        raise StoreError(403, "InvalidAccessKeyId", "x")

    monkeypatch.setattr(Stores, "list_here", away)
    run = told(server).run()
    with pytest.raises(StoreError):
        move.end(run, server.run, must=True)
    move.end(run, server.run, must=False)
    assert "keeps what it has" in server.said[-1]


@pytest.mark.parametrize(("wanted", "stopped"), [(NEW, []), (OLD, [WORK_UNIT])])
def test_a_move_under_way_is_followed_or_ended_where_the_stack_wants_another_store(
    server: Machine, monkeypatch: pytest.MonkeyPatch, wanted: str, stopped: list[str]
) -> None:
    live(server)
    ask(server)
    ended, store = list[str](), {**told(server).settings.store.__dict__, "bucket": wanted, "name": "new"}
    monkeypatch.setattr(under_way, "HERE", server.layout)
    monkeypatch.setattr("agent.host.system.System.stop", lambda self, units: ended.extend(units))
    monkeypatch.setattr(work, "running", lambda *_: {"id": "7", "target": "move", "after": "any"})
    monkeypatch.setattr(work, "follow", lambda *_: {"ok": True, "files": 4})
    found = under_way.follow_or_end({"store": store})
    assert ended == stopped and found == ({} if stopped else {"files": 4})
    monkeypatch.setattr(work, "running", lambda *_: {"id": "7", "target": "mirror", "after": "any"})
    assert under_way.follow_or_end({"store": store}) == {} and ended == stopped


def test_where_no_other_store_is_asked_for_nothing_is_recovered_before_the_new_settings_are_laid(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be what a mount that does not come up was waiting for: a new key after the old one was revoked."""
    live(server)

    def fails(run: Run) -> None:
        raise Problem("the mount does not come up", "see its journal")

    monkeypatch.setattr(recovery, "recover", fails)
    monkeypatch.setattr(verb, "HERE", server.layout)
    monkeypatch.setattr(verb, "run_here", lambda *_: told(server).run())
    assert not verb._begin_move(Command("mount", document={}))
