"""The way home: what the bucket holds, and what is gone from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.migration import pull, recovery
from agent.model.errors import CommandFailed, Problem
from agent.model.items import Object
from agent.model.phases import Phase, Side, Stage

from .conftest import Machine
from .fakes import SYNAPSE, PowerLoss
from .moves import FILES, fill, go


def test_a_failing_store_in_the_restore_window_leaves_the_homeserver_running_on_the_bucket(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    stops = len([line for line in server.system.log if line == f"stop {SYNAPSE}"])
    real = server.bucket.list

    def fail_once_stopped(*args: Any, **options: Any) -> Iterator[Object]:
        if SYNAPSE not in server.system.active:
            raise OSError("the store is gone")
        return real(*args, **options)

    monkeypatch.setattr(server.bucket, "list", fail_once_stopped)
    with pytest.raises(OSError, match="the store is gone"):
        go(server, "mirror")
    journal = server.journal
    assert (journal.serving, journal.phase, journal.window) == (Side.BUCKET, Phase.LIVE, None)
    assert SYNAPSE in server.system.active and server.system.mounted(server.store)
    assert len([line for line in server.system.log if line == f"stop {SYNAPSE}"]) == stops + 1


def test_an_empty_listing_after_clean_is_not_believed(server: Machine) -> None:
    for number in range(100):
        server.write(f"local_content/aa/bb/{number}", b"x%d" % number)
    go(server, "clean")
    kept = dict(server.bucket.objects)
    server.bucket.objects.clear()
    with pytest.raises(Problem, match="gone from the bucket"):
        go(server, "prepare")
    assert server.journal.serving is Side.BUCKET
    assert SYNAPSE in server.system.active
    server.bucket.objects.update(kept)
    assert go(server, "prepare").phase == "prepare"
    assert server.tree() == kept


def test_recovery_without_the_stores_disk_holds_the_services_instead_of_serving_nothing(server: Machine) -> None:
    fill(server)
    go(server, "mirror")
    before = server.power.used
    go(server, "live")
    swap = server.power.used - before
    go(server, "mirror")
    for at in range(swap):
        server.power.left = at
        try:
            go(server, "live")
        except PowerLoss:
            window = server.journal.window
            if window and window.stage is Stage.SWAPPING and server.backup.exists():
                break
        server.reboot()
        server.system.active.add(SYNAPSE)
        recovery.recover(server.run())
        go(server, "mirror")
    else:
        raise AssertionError("never interrupted in the swap")
    server.reboot()
    away = server.backup.rename(server.root / "disk-not-mounted-yet")
    with pytest.raises(Problem, match="is its disk mounted"):
        recovery.recover(server.run(), boot=True)
    assert server.journal.serving is Side.NOBODY
    away.rename(server.backup)
    recovery.recover(server.run())
    assert server.tree().items() >= FILES.items()


def test_a_purge_while_live_is_followed_home_and_kept_aside(server: Machine) -> None:
    fill(server)
    for number in range(50):
        server.write(f"local_content/cc/cc/{number}", b"%d" % number)
    go(server, "live")
    del server.bucket.objects["local_content/aa/bb/one"]
    go(server, "mirror")
    assert "local_content/aa/bb/one" not in server.tree()
    (aside,) = server.store.parent.glob("media-store-removed-*")
    assert (aside / "local_content/aa/bb/one").read_bytes() == b"one"


def test_a_server_to_which_people_upload_all_the_time_still_comes_home(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    uploads = iter(range(100))
    real = server.copier.download

    def upload_meanwhile(*arguments: Any) -> None:
        real(*arguments)
        if SYNAPSE in server.system.active:
            number = next(uploads)
            server.bucket.objects[f"local_content/zz/zz/{number}"] = b"%d" % number

    monkeypatch.setattr(server.copier, "download", upload_meanwhile)
    server.bucket.objects["local_content/zz/zz/first"] = b"first"
    go(server, "mirror")
    served = server.tree()
    assert next(uploads) >= 3, "somebody uploaded in every round"
    assert {path for path in server.bucket.objects if path.startswith("local_content/zz")} <= set(served)


def test_an_object_that_never_arrives_stops_the_way_home_before_anything_stops(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    server.bucket.objects["local_content/zz/zz/never"] = b"never"
    real = server.copier.download

    def all_but_one(target: Path, objects: Sequence[Object], *rest: Any) -> None:
        real(target, [item for item in objects if not item.key.endswith("never")], *rest)

    monkeypatch.setattr(server.copier, "download", all_but_one)
    server.system.log.clear()
    with pytest.raises(Problem, match="did not arrive whole.*never"):
        go(server, "mirror")
    assert f"stop {SYNAPSE}" not in server.system.log


def test_a_store_that_goes_away_on_the_way_home_ends_it_after_the_first_lot(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    monkeypatch.setattr(pull, "LOT", 1)
    for number in range(5):
        server.bucket.objects[f"local_content/zz/zz/{number}"] = b"%d" % number
    tried: list[Object] = []

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("connection refused")

    def fail(target: Path, objects: Sequence[Object], *_: Any) -> None:
        tried.extend(objects)
        monkeypatch.setattr(server.bucket, "list", refuse)
        raise CommandFailed(["rclone"], 1, "connection refused")

    monkeypatch.setattr(server.copier, "download", fail)
    with pytest.raises(OSError, match="connection refused"):
        go(server, "mirror")
    assert len(tried) == 1 and SYNAPSE in server.system.active
