"""The mount asks whose the bucket is: a copy of the server, and the one from which another took it, stay out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.host import ids
from agent.model.errors import Problem, StoreError
from agent.model.items import ServerIds
from agent.model.layout import OWNER_KEY
from agent.serving import admission
from agent.setup import mount as setup_mount
from agent.setup import preflight
from agent.store import bucket as real
from agent.store import ownership

from .conftest import Machine
from .fakes import FakeBucket
from .moves import fill, go

FIRST, SECOND = ServerIds("first", "old-first"), ServerIds("second", "old-second")


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


def mark(bucket: FakeBucket) -> dict[str, object]:
    found: dict[str, object] = json.loads(bucket.objects[OWNER_KEY])
    return found


def test_the_earlier_server_stays_out_after_another_adopted_the_bucket(bucket: FakeBucket) -> None:
    """Review, entry 16."""
    epoch = ownership.claim(bucket, FIRST, "b", adopt=False)
    ownership.check_serves(bucket, FIRST, "b", epoch)
    with pytest.raises(Problem, match="belongs to server"):
        ownership.claim(bucket, SECOND, "b", adopt=False)
    taken = ownership.claim(bucket, SECOND, "b", adopt=True)
    assert (epoch, taken) == (1, 2)
    ownership.check_serves(bucket, SECOND, "b", taken)
    with pytest.raises(
        Problem, match="not to this one.* it is not mounted here -- only if that server is gone for good"
    ):
        ownership.check_serves(bucket, FIRST, "b", epoch)


def test_a_copy_of_a_server_that_was_replaced_and_took_over_again_stays_out_by_the_epoch(bucket: FakeBucket) -> None:
    """Review, entry 16: `epoch` was written and never read."""
    epoch = ownership.claim(bucket, FIRST, "b", adopt=False)
    ownership.claim(bucket, SECOND, "b", adopt=True)
    again = ownership.claim(bucket, FIRST, "b", adopt=True)
    ownership.check_serves(bucket, FIRST, "b", again)
    with pytest.raises(Problem, match=r"anew \(change 3\), and here it is known since change 1.* -- run pulumi up if"):
        ownership.check_serves(bucket, FIRST, "b", epoch)
    ownership.check_serves(bucket, FIRST, "b", 0)  # one that was updated knows no epoch yet


def test_the_id_of_earlier_versions_is_replaced_and_nobody_changed_hands(bucket: FakeBucket) -> None:
    bucket.objects[OWNER_KEY] = b'{"server": "me", "id": "old-first", "epoch": 7}'
    ownership.check_serves(bucket, FIRST, "b", 0)
    assert ownership.claim(bucket, FIRST, "b", adopt=False) == 7
    assert mark(bucket)["id"] == "first" and mark(bucket)["epoch"] == 7
    with pytest.raises(Problem):
        ownership.check_serves(bucket, ServerIds("a clone's", "old-first"), "b", 0)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"<html>", b'{"server": 1}'])
def test_a_mark_that_says_nothing_is_told(bucket: FakeBucket, text: bytes) -> None:
    bucket.objects[OWNER_KEY] = text
    with pytest.raises(Problem, match="is no mark of ownership.* -- look who uses this bucket"):
        ownership.check(bucket, FIRST, "b", adopt=True)


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, uuid: str, address: str, container: bool) -> ServerIds:
    """The ids of a machine with that hardware, all with one machine id: clones of one disk."""
    for name, text in (("machine-id", "abc"), ("product_uuid", uuid), ("net/eth0/address", address)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    for passing in ("docker0", "veth12ab", "lo"):
        (folder / "net" / passing).mkdir(exist_ok=True)
        (folder / "net" / passing / "address").write_text(f"passing-{uuid}-{address}")
    monkeypatch.setattr(ids, "MACHINE_ID", folder / "machine-id")
    monkeypatch.setattr(ids, "HARDWARE", (folder / "none", folder / "product_uuid"))
    monkeypatch.setattr(ids, "INTERFACES", folder / "net")
    monkeypatch.setattr(ids, "CONTAINER", folder / ("machine-id" if container else "none"))
    return ids.of_this_server()


def test_a_clone_has_another_id_and_the_same_server_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 16: the machine id is often cloned too."""
    for container in (False, True):
        mine = machine(tmp_path, monkeypatch, "UUID-1", "aa:bb", container)
        assert machine(tmp_path, monkeypatch, "uuid-1", "aa:bb", container) == mine, (
            "a reboot; firmware says it otherwise"
        )
        clone = machine(tmp_path, monkeypatch, "UUID-2", "aa:cc", container)
        assert clone.present != mine.present and clone.earlier == mine.earlier
    assert machine(tmp_path, monkeypatch, "UUID-1", "other", container=False) == machine(
        tmp_path, monkeypatch, "UUID-1", "card", container=False
    ), "a network card is replaced"
    assert machine(tmp_path, monkeypatch, "1", "aa", True) == machine(tmp_path, monkeypatch, "2", "aa", True), (
        "its host"
    )


def test_the_mount_asks_before_it_comes_up(
    server: Machine, monkeypatch: pytest.MonkeyPatch, bucket: FakeBucket
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(real, "Bucket", lambda store: bucket)
    monkeypatch.setattr(ids, "of_this_server", lambda: FIRST)
    ownership.claim(bucket, SECOND, "b", adopt=False)
    with pytest.raises(Problem, match="it is not mounted here"):
        admission.check_owner(server.settings.store, server.journal)

    def away(*_: object) -> None:
        raise StoreError(503, "SlowDown", "GET")

    monkeypatch.setattr(bucket, "get", away)
    with pytest.raises(StoreError):
        admission.check_owner(server.settings.store, server.journal)


def test_a_window_begins_only_over_a_bucket_that_is_still_this_servers(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "mirror")

    def another(*_: object) -> None:
        raise Problem("bucket b belongs to another", "adopt")

    monkeypatch.setattr(ownership, "check_serves", another)
    server.system.log.clear()
    with pytest.raises(Problem, match="belongs to another"):
        go(server, "live")
    assert "stop matrix-synapse.service" not in server.system.log and server.journal.window is None


def test_an_update_writes_todays_id_and_the_epoch(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(server)
    go(server, "live")
    monkeypatch.setattr(ownership, "claim", lambda *_: 5)
    monkeypatch.setattr(setup_mount, "install_packages", lambda *_: None)
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    monkeypatch.setattr(setup_mount, "lay_programs", lambda *_: set())
    monkeypatch.setattr(setup_mount, "lay_files", lambda *_: set())
    run = server.run()
    setup_mount.install(run, {"store": {}, "mount": {}})
    assert server.journal.epoch == 5
