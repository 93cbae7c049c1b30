"""A store that the media left is let go: nothing of it is removed that is not accounted for in the one that serves."""

from __future__ import annotations

import dataclasses

import pytest

from agent.migration import leave_store, unaccounted
from agent.model.errors import Problem, StoreError
from agent.model.items import ServerIds
from agent.store import ownership

from .conftest import Machine
from .moving import NEW, OLD, change, files_in, live, pretend, told


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setattr(leave_store, "_is_ours", lambda run: True)


def leave(server: Machine, empties: bool = True) -> None:
    """Let the old store go, once the media moved to the new one."""
    serving = told(server).settings.store
    old = dataclasses.replace(server.agent, settings=dataclasses.replace(
        server.settings, store=dataclasses.replace(serving, name="", bucket=OLD)))  # fmt: skip
    leave_store.leave(dataclasses.replace(server.run(), server=old), serving, empties)


def test_a_store_whose_objects_are_all_in_the_one_that_serves_is_emptied(server: Machine) -> None:
    change(live(server))
    there = files_in(server.buckets[NEW])
    leave(server)
    assert server.buckets[OLD].objects == {} and files_in(server.buckets[NEW]) == there


def test_what_was_replaced_or_purged_since_the_move_keeps_nobody(server: Machine) -> None:
    change(live(server))
    server.buckets[NEW].objects["local_thumbnails/aa/bb/one/32-32-image-png-crop"] = b"newer"
    del server.buckets[NEW].objects["local_content/aa/bb/one"]
    leave(server)
    assert server.buckets[OLD].objects == {}


@pytest.mark.parametrize("how", ["other content", "missing", "foreign"])
def test_an_object_that_is_nowhere_else_keeps_the_whole_bucket(
    server: Machine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(unaccounted, "purged", lambda *_: set())
    change(live(server))
    old, name = server.buckets[OLD], "local_content/aa/bb/one"
    if how == "other content":
        old.objects[name] = b"otherwise"
    elif how == "missing":
        del server.buckets[NEW].objects[name]
    else:
        old.objects["backup/of/somebody"] = b"theirs"
    before = dict(old.objects)
    with pytest.raises(Problem, match="nothing was removed"):
        leave(server)
    assert old.objects == before


@pytest.mark.parametrize("name", ["local_content/st/ra/nger", "remote_content/example.com/aa/bb/cc"])
def test_an_object_of_somebody_elses_is_no_purged_medium_though_synapse_does_not_know_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All that is asked for counts as purged here, as for a database that knows nothing of it."""
    monkeypatch.setattr(unaccounted, "purged", lambda run, manifest, names: {*names})
    change(live(server))
    server.buckets[OLD].objects[name] = b"theirs"
    before = dict(server.buckets[OLD].objects)
    with pytest.raises(Problem, match=f"{name}.*nothing was removed"):
        leave(server)
    assert server.buckets[OLD].objects == before


def test_what_an_administrator_confirmed_may_go(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unaccounted, "purged", lambda *_: set())
    change(live(server))
    del server.buckets[NEW].objects["local_content/aa/bb/one"]
    told(server).tell(migration={"confirmed": ["local_content/aa/bb/one"]})
    serving = server.settings.store
    old = dataclasses.replace(server.agent, settings=dataclasses.replace(
        server.settings, store=dataclasses.replace(serving, bucket=OLD)))  # fmt: skip
    leave_store.leave(dataclasses.replace(server.run(), server=old), serving, True)
    assert server.buckets[OLD].objects == {}


def test_the_store_in_use_is_left_alone_whatever_is_asked(server: Machine) -> None:
    live(server)
    before = dict(server.bucket.objects)
    leave_store.leave(server.run(), server.settings.store, True)
    assert server.bucket.objects == before and "in use" in server.said[-1]


def test_a_store_to_be_retained_is_given_free_though_it_cannot_be_reached(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(live(server))
    before = dict(server.buckets[OLD].objects)
    leave(server, empties=False)
    assert server.buckets[OLD].objects == before and "given free" in server.said[-1]

    for error in (StoreError(403, "InvalidAccessKeyId", "x"), Problem("cannot be read", "check the key's rights")):

        def away(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(ownership, "release", away)
        leave(server, empties=False)
        assert "still names this server" in server.said[-1]


def test_a_bucket_in_use_by_another_address_is_never_emptied(server: Machine) -> None:
    change(live(server))
    server.buckets[OLD] = server.buckets[NEW]
    before = files_in(server.buckets[NEW])
    with pytest.raises(Problem, match="in use, by another address"):
        leave(server)
    assert files_in(server.buckets[NEW]) == before


def test_previews_that_synapse_expired_keep_nobody(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unaccounted, "purged", lambda *_: set())
    change(live(server))
    server.buckets[OLD].objects["url_cache/2026-01-01/preview"] = b"expired"
    told(server).tell(copy={"exclude": []})
    leave(server)
    assert server.buckets[OLD].objects == {}


@pytest.mark.parametrize("owner", ["nobody", "another", "gone"])
def test_a_bucket_that_is_not_this_servers_or_is_gone_is_left_alone(
    server: Machine, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    change(live(server))
    before = dict(server.buckets[OLD].objects)
    monkeypatch.undo()

    def read(bucket: object) -> ownership.Mark | None:
        if owner == "gone":
            raise StoreError(404, "NoSuchBucket", "x")
        return None if owner == "nobody" else ownership.Mark("another", "another-id", 1)

    monkeypatch.setattr(ownership, "read", read)
    monkeypatch.setattr(type(server.agent), "ids", ServerIds("mine", "mine-before"))
    leave(server)
    assert server.buckets[OLD].objects == before and "nothing is done to it" in server.said[-1]
