"""Emptying a bucket that is to be deleted: only what is at home too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.media.synapse_db import SynapseDatabase
from agent.migration import empty_bucket, mirror
from agent.model.errors import Problem, StoreError
from agent.model.items import Object, Remainder
from agent.model.layout import RESERVED_PREFIX
from agent.model.phases import Side
from agent.setup import install
from agent.state.run import keep_settings
from agent.store import ownership

from .conftest import Machine


def _mirrored(server: Machine) -> None:
    for number in range(30):
        server.write(f"local_content/{number:02}", b"%d" % number)
    mirror.mirror(server.run())


def test_an_emptied_bucket_keeps_nothing_and_the_local_store_everything(server: Machine) -> None:
    _mirrored(server)
    server.bucket.versions = [Remainder("local_content/00", "versionId", "old"), Remainder("x", "uploadId", "u")]
    server.bucket.objects["url_cache/2026-01-01/preview"] = b"rebuilt"
    tree = server.tree()
    empty_bucket.empty(server.run())
    assert server.bucket.objects == {} and server.bucket.versions == []
    assert server.tree() == tree


def test_what_a_store_keeps_though_it_was_told_to_remove_it_is_removed_by_another_look(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MinIO keeps the mark of a folder at times that is removed at once with what is in it."""
    _mirrored(server)
    real, kept = server.bucket.remove, list[Remainder]()

    def remove(item: Remainder) -> None:
        if item.key == "local_content/07" and not kept:
            kept.append(item)
        else:
            real(item)

    monkeypatch.setattr(server.bucket, "remove", remove)
    empty_bucket.empty(server.run())
    assert kept and server.bucket.objects == {}


def test_what_synapse_purged_here_since_may_go_from_the_bucket_too_and_nothing_else_that_is_gone(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mirrored(server)
    (server.store / "local_content/07").unlink()
    server.tell(host={"database": "sqlite:/no/such/file"})
    with pytest.raises(Problem, match="does not say that they were purged, 'local_content/07' first"):
        empty_bucket.empty(server.run())
    assert len(server.bucket.objects) == 30
    monkeypatch.setattr(SynapseDatabase, "purged", lambda self, paths, present: set(paths))
    empty_bucket.empty(server.run())
    assert server.bucket.objects == {}


def test_nothing_is_emptied_while_a_local_file_differs_from_its_object(server: Machine) -> None:
    _mirrored(server)
    server.write("local_content/03", b"")  # as a crash may leave it
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="differ from the bucket, 'local_content/03' first"):
        empty_bucket.empty(server.run())
    assert server.bucket.objects == held


def test_only_the_bucket_that_was_used_is_emptied(server: Machine) -> None:
    told = {"store": {"endpoint": "https://store.test", "bucket": "b"}}
    keep_settings(server.layout, told)
    install.check_told_bucket(server.layout, told)
    with pytest.raises(Problem, match="is told to empty other"):
        install.check_told_bucket(server.layout, {"store": {**told["store"], "bucket": "other"}})


def test_an_empty_bucket_needs_no_local_store_to_compare_with(server: Machine) -> None:
    server.tell(host={"media_store": "/no/such/folder"})
    server.bucket.objects[f"{RESERVED_PREFIX}owner.json"] = b"mark"
    empty_bucket.empty(server.run())


def test_nothing_is_emptied_while_an_object_is_not_here_and_not_ours(server: Machine) -> None:
    _mirrored(server)
    server.bucket.objects["local_content/stranger"] = b"?"
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="local_content/stranger"):
        empty_bucket.empty(server.run())
    assert server.bucket.objects == held


def test_nothing_is_emptied_on_the_word_of_a_local_store_that_lost_many_files(server: Machine) -> None:
    _mirrored(server)
    for number in range(20):
        (server.store / f"local_content/{number:02}").unlink()
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="gone from the local store"):
        empty_bucket.empty(server.run())
    assert server.bucket.objects == held


def test_nothing_is_emptied_while_the_bucket_serves_or_is_anothers(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mirrored(server)
    server.hold(serving=Side.BUCKET)
    with pytest.raises(Problem, match="still lives in the bucket"):
        empty_bucket.empty(server.run())
    server.hold(serving=Side.LOCAL)

    def refuse(*_: object) -> None:
        raise Problem("bucket b belongs to server other", "use another")

    monkeypatch.setattr(ownership, "check", refuse)
    with pytest.raises(Problem, match="belongs to server other"):
        empty_bucket.empty(server.run())
    assert len(server.bucket.objects) == 30


def test_an_interrupted_emptying_goes_on_where_it_was(server: Machine) -> None:
    _mirrored(server)
    tree = server.tree()
    server.power.left = 12
    with pytest.raises(BaseException):  # noqa: B017 - a power loss is no Exception
        empty_bucket.empty(server.run())
    server.reboot()
    assert 0 < len(server.bucket.objects) < 30
    empty_bucket.empty(server.run())
    assert server.bucket.objects == {} and server.tree() == tree


def test_a_bucket_that_is_gone_already_is_empty(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**_: Any) -> Iterator[Object]:
        raise StoreError(404, "NoSuchBucket", "list")

    monkeypatch.setattr(server.bucket, "list", gone)
    empty_bucket.empty(server.run())
