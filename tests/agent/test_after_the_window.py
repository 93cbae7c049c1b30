"""What the window may have missed is looked for once the services run again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from agent.migration import changes
from agent.model.errors import Problem
from agent.model.phases import Owed, Phase, Side
from agent.serving import proof

from .conftest import Machine
from .fake_work import FakeListener
from .fakes import SYNAPSE
from .moves import FILES, fill, go


def deaf_to(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """The kernel never tells of these."""
    told = FakeListener.take
    monkeypatch.setattr(FakeListener, "take", lambda self: (told(self) or set()) - set(paths))


def late(server: Machine, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes) -> None:
    """A file that is written as the homeserver ends."""
    stop = type(server.system).stop

    def stopped(units: Sequence[str], timeout: float = 0) -> None:
        stop(server.system, units, timeout)
        if SYNAPSE in units:
            server.write(path, body)

    monkeypatch.setattr(server.system, "stop", stopped)


def newer_than_its_object(server: Machine, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that is in the bucket, and is rewritten as the homeserver ends, where the kernel does not tell."""
    name = "local_content/aa/bb/one"
    fill(server)
    go(server, "mirror")
    deaf_to(monkeypatch, name)
    late(server, monkeypatch, name, b"newer here")
    return name


def test_what_nobody_told_of_in_the_window_keeps_live_unproven_until_it_is_in_the_bucket(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "mirror")
    deaf_to(monkeypatch, "local_content/ee/ff/late")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    for _ in range(2):
        with pytest.raises(Problem, match="1 files of the local copy .*'local_content/ee/ff/late' among them"):
            go(server, "live")
        journal = server.journal
        assert (journal.phase, journal.serving) == (Phase.LIVE, Side.BUCKET) and Owed.PROOF in journal.owed
        assert SYNAPSE in server.system.active
    server.bucket.objects["local_content/ee/ff/late"] = b"late"
    assert not go(server, "live").owed
    assert go(server, "clean").phase == "clean"


def test_what_nobody_told_of_is_still_in_the_store_after_the_way_home(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "mirror")
    deaf_to(monkeypatch, "local_content/ee/ff/late")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    with pytest.raises(Problem, match="among them"):
        go(server, "live")
    go(server, "mirror")
    assert server.tree()["local_content/ee/ff/late"] == b"late"
    assert not go(server, "live").owed
    assert server.bucket.objects["local_content/ee/ff/late"] == b"late"


def test_a_walk_after_the_window_that_failed_is_made_up_by_the_next_run(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "mirror")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "walk", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        patch.setattr(changes, "before_window", lambda *_: (0, Mock(changed=None)))
        patch.setattr(changes, "in_window", lambda *_: changes.Found(0, 0, walked=False))
        with pytest.raises(OSError, match="Input/output"):
            go(server, "live")
    assert SYNAPSE in server.system.active
    walked: list[Path] = []
    monkeypatch.setattr(changes, "verify", lambda run, copy: walked.append(copy))
    assert not go(server, "live").owed and walked == [server.backup]


def test_another_folder_is_not_walked_for_the_local_copy_that_was_moved_away(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "mirror")
    prove = proof.prove

    def moved(*arguments: Any) -> dict[str, Any]:
        server.backup.rename(server.root / "moved")
        server.backup.mkdir()
        return prove(*arguments)

    monkeypatch.setattr(proof, "prove", moved)
    monkeypatch.setattr(changes, "verify", lambda *_: pytest.fail("another folder was walked"))
    assert not go(server, "live").owed


def test_where_a_walk_was_the_window_none_follows_it(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    server.listen = lambda root: contextlib.nullcontext()
    monkeypatch.setattr(changes, "verify", lambda *_: pytest.fail("one more walk"))
    fill(server)
    go(server, "mirror")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    assert go(server, "live").last["window_files"] == 1
    assert server.bucket.objects == FILES | {"local_content/ee/ff/late": b"late"}


def test_a_file_that_is_known_to_be_newer_here_is_not_replaced_on_the_way_home(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 12: the bucket's older one won, without a word."""
    name = newer_than_its_object(server, monkeypatch)
    with pytest.raises(Problem, match="changed while the services stopped|of the local copy"):
        go(server, "live")
    assert server.bucket.objects[name] == b"one"
    go(server, "mirror")
    assert server.tree()[name] == b"newer here"
    go(server, "mirror")
    go(server, "live")
    assert server.bucket.objects[name] == b"newer here"


def test_an_object_that_changed_since_is_newer_than_the_file_that_once_was(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = newer_than_its_object(server, monkeypatch)
    with pytest.raises(Problem):
        go(server, "live")
    server.bucket.objects[name] = b"rewritten while live"
    go(server, "mirror")
    assert server.tree()[name] == b"rewritten while live"
    (kept,) = server.store.parent.glob("media-store-replaced-*")
    assert server.tree(kept) == {name: b"newer here"}
    told = [line for line in server.said if "were not as in the bucket" in line]
    assert told and f"1 files here were not as in the bucket; the old ones are kept in {kept}" in told[0]
