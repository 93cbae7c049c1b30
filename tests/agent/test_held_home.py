"""The local copy comes home beneath services that stand still for a moment, and are never stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.media import walk
from agent.migration import pull, settle
from agent.model.errors import Problem
from agent.model.items import Object
from agent.model.layout import MOUNT_UNIT
from agent.model.phases import Owed, Phase, Side
from agent.serving import proof

from .conftest import Machine, NewServer
from .fakes import SYNAPSE
from .holding import CONTAINER, GROUP, boot, fit, hearing, recovered, stopped, struck
from .moves import FILES, go

LAST, MISSED = "local_content/zz/zz/last", "remote_content/example.org/zz/zz/missed"


def live(server: Machine) -> Machine:
    """A server whose services can be held, and whose bucket serves."""
    fit(server)
    go(server, "live")
    server.hear = hearing(server, {MISSED})
    server.system.log.clear()
    server.said.clear()
    return server


def upload(server: Machine, path: str, body: bytes) -> None:
    server.bucket.objects[path] = body


def so_many_that_a_purge_is_believed(server: Machine) -> None:
    for number in range(50):
        upload(server, f"local_content/cc/cc/{number}", b"%d" % number)


def test_services_are_held_and_never_stopped_and_what_came_last_is_at_home(server: Machine) -> None:
    live(server)
    seen = []

    def last() -> None:
        upload(server, LAST, b"closed just before")
        seen.append((server.journal.serving, set(server.system.frozen_groups), set(server.system.mounts)))

    server.system.seen = [CONTAINER]
    server.system.on_freeze = last
    assert go(server, "mirror").phase is Phase.MIRROR
    assert seen == [(Side.NOBODY, {GROUP, CONTAINER.group}, {server.store})]
    assert server.tree().items() >= (FILES | {LAST: b"closed just before"}).items()
    assert not stopped(server) and not server.system.frozen_groups and not server.layout.held.exists()
    assert server.system.mounts == {server.system.staging} and MOUNT_UNIT not in server.system.active
    counts = server.journal.last
    assert "services_stopped_seconds" not in counts and 0 <= counts["services_held_seconds"] < 2
    assert counts["window_files"] == 1 and not server.journal.owed
    assert (server.store / LAST).stat().st_mode & 0o777 == 0o640, "as all files of the store"


def test_no_listing_is_asked_for_while_services_stand_still(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    live(server)
    real, listed = server.bucket.list, []

    def note(*args: Any, **options: Any) -> Iterator[Object]:
        listed.append(bool(server.system.frozen_groups))
        return real(*args, **options)

    monkeypatch.setattr(server.bucket, "list", note)
    go(server, "mirror")
    assert listed and not any(listed)


def test_what_nobody_told_of_is_found_by_the_listing_afterwards(server: Machine) -> None:
    live(server)
    rewritten = "local_content/aa/bb/one"
    server.hear = hearing(server, {MISSED, rewritten})

    def last() -> None:
        upload(server, MISSED, b"nobody told of it")
        upload(server, rewritten, b"another one")

    server.system.on_freeze = last
    go(server, "mirror")
    assert server.tree().items() >= (FILES | {MISSED: b"nobody told of it", rewritten: b"another one"}).items()
    (kept,) = server.store.parent.glob("media-store-replaced-*")
    assert (kept / rewritten).read_bytes() == b"one"
    assert any("2 files came to the bucket and nobody told of them" in line for line in server.said)


def test_what_changed_here_since_the_local_store_serves_stays_as_it_is(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    changed, purged, anew = "local_content/aa/bb/one", "local_content/aa/bb/empty", "local_thumbnails/aa/bb/one/new"
    upload(server, purged, b"not empty any more")
    real = server.system.thaw

    def goes_on(groups: Any) -> None:
        if server.journal.serving is Side.LOCAL and server.system.frozen_groups:
            server.write(changed, b"changed here")
            (server.store / purged).unlink()
            server.write(anew, b"new here")
        real(groups)

    monkeypatch.setattr(server.system, "thaw", goes_on)
    server.system.on_freeze = lambda: upload(server, anew, b"of the bucket")
    go(server, "mirror")
    tree = server.tree()
    assert (tree[changed], tree[anew], purged in tree) == (b"changed here", b"new here", False)


def test_a_name_that_was_purged_while_live_and_is_written_anew_here_is_not_set_aside(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    so_many_that_a_purge_is_believed(server)
    name, other = "local_content/aa/bb/one", "local_content/aa/bb/empty"
    del server.bucket.objects[name], server.bucket.objects[other]
    real = server.system.thaw

    def goes_on(groups: Any) -> None:
        if server.journal.serving is Side.LOCAL:
            server.write(name, b"anew")
        real(groups)

    monkeypatch.setattr(server.system, "thaw", goes_on)
    go(server, "mirror")
    assert server.tree()[name] == b"anew" and other not in server.tree()


def test_whoever_still_sees_the_mount_has_it_back_and_services_are_stopped(server: Machine) -> None:
    live(server)
    server.system.seen = server.system.unseeing = [CONTAINER]
    mounted: list[bool] = []
    server.system.on_stop = lambda: mounted.append(server.store in server.system.mounts)
    assert go(server, "mirror").phase is Phase.MIRROR
    assert mounted and mounted[0], "until they were stopped, the bucket served on"
    assert stopped(server) and server.tree().items() >= FILES.items()
    assert any("process 4711 does not see what was done at /media/store" in line for line in server.said)


@pytest.mark.parametrize("method", ["auto", "restart"])
def test_where_the_kernel_does_not_tell_services_are_stopped_and_the_bucket_is_listed(
    server: Machine, method: str
) -> None:
    live(server)
    server.hear = Machine.hear
    server.tell(cutover={"method": method})
    server.system.on_stop = lambda: upload(server, MISSED, b"as they stopped")
    assert go(server, "mirror").phase is Phase.MIRROR
    assert stopped(server) and server.tree()[MISSED] == b"as they stopped"
    assert any("does not tell what is written through the mount" in line for line in server.said) == (method == "auto")


def test_services_that_are_stopped_need_no_listing_either(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    live(server)
    server.tell(cutover={"method": "restart"})
    real, listed = server.bucket.list, []

    def note(*args: Any, **options: Any) -> Iterator[Object]:
        listed.append(SYNAPSE in server.system.active)
        return real(*args, **options)

    monkeypatch.setattr(server.bucket, "list", note)
    server.system.on_stop = lambda: upload(server, LAST, b"as they stopped")
    go(server, "mirror")
    assert listed and all(listed) and server.tree()[LAST] == b"as they stopped"


def test_a_cutover_whose_proof_fails_goes_home_by_a_stop(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)
    server.hear = hearing(server, set())

    def fails(*_: Any) -> Any:
        raise OSError("the mount is dead")

    monkeypatch.setattr(proof, "prove", fails)
    with pytest.raises(Problem, match="the proof failed, and the local store serves again"):
        go(server, "live")
    assert stopped(server) and server.tree().items() >= FILES.items()


def test_a_way_home_that_did_not_look_again_does_so_in_the_next_run(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    server.system.on_freeze = lambda: upload(server, MISSED, b"nobody told of it")
    with monkeypatch.context() as patch:
        patch.setattr(settle, "load_media", lambda *_: (_ for _ in ()).throw(OSError("the store is away")))
        with pytest.raises(OSError, match="the store is away"):
            go(server, "mirror")
    journal = server.journal
    assert journal.owed == {Owed.LISTING} and journal.serving is Side.LOCAL and not journal.settled(Phase.MIRROR)
    assert MISSED not in server.tree()
    assert go(server, "mirror").settled(Phase.MIRROR)
    assert server.tree()[MISSED] == b"nobody told of it"


def test_a_power_loss_at_any_operation_loses_nothing(new_server: NewServer) -> None:
    def prepare(server: Machine) -> Machine:
        server.system.on_freeze = lambda: upload(server, LAST, b"last")
        return server

    for at, server in struck(new_server, lambda new: prepare(live(new)), lambda new: go(new, "mirror")):
        boot(server)
        assert go(server, "mirror").settled(Phase.MIRROR)
        assert server.tree().items() >= (FILES | {LAST: b"last"}).items(), at


def test_an_agent_that_is_killed_at_any_operation_leaves_nobody_standing_still(new_server: NewServer) -> None:
    for at, server in struck(new_server, live, lambda new: go(new, "mirror")):
        recovered(server)
        assert not server.system.frozen_groups and server.journal.window is None, at
        if server.journal.serving is Side.LOCAL:
            assert server.tree().items() >= FILES.items() and server.store not in server.system.mounts, at
        else:
            assert server.store in server.system.mounts, at
        assert not stopped(server), at
        assert go(server, "mirror").settled(Phase.MIRROR)
        assert server.tree().items() >= FILES.items(), at


def test_what_came_during_a_pull_of_hours_is_fetched_before_any_window(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    server.tell(cutover={"method": "restart"})
    for number in range(100):
        upload(server, f"local_content/zz/zz/{number}", b"%d" % number)
    real, asked = server.bucket.head, []

    def head(key: str) -> Object | None:
        asked.append(SYNAPSE in server.system.active)
        return real(key)

    monkeypatch.setattr(server.bucket, "head", head)
    listed = server.bucket.list
    late = iter(range(100, 300))

    def meanwhile(*args: Any, **options: Any) -> Iterator[Object]:
        yield from listed(*args, **options)
        for number in [*zip(range(50), late)]:
            upload(server, f"local_content/zz/zz/{number[1]}", b"late")

    monkeypatch.setattr(server.bucket, "list", meanwhile)
    go(server, "mirror")
    assert len(asked) > 50 and all(asked), "while services run"
    assert {path for path in server.bucket.objects if "zz/zz" in path} <= server.tree().keys()


def test_a_mount_that_ends_before_it_is_taken_away_is_not_taken_for_a_bare_folder(server: Machine) -> None:
    live(server)
    server.system.on_freeze = lambda: server.system.mounts.discard(server.store)
    with pytest.raises(Problem, match="the mount ended"):
        go(server, "mirror")
    assert server.journal.serving is Side.BUCKET and server.store in server.system.mounts
    assert not server.system.frozen_groups and SYNAPSE in server.system.active


def test_purged_media_are_set_aside_where_inodes_follow_from_the_path(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    so_many_that_a_purge_is_believed(server)
    del server.bucket.objects["local_content/aa/bb/one"]
    monkeypatch.setattr(
        "agent.migration.settle.file_at", lambda *at: [each._replace(inode=7) for each in walk.file_at(*at)]
    )
    go(server, "mirror")
    assert "local_content/aa/bb/one" not in server.tree()


def test_no_folder_is_made_where_the_stores_owner_could_lay_another_in_its_place(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    server.system.on_freeze = lambda: upload(server, LAST, b"last")
    real, within = os.mkdir, set[str]()

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            within.add(Path(os.readlink(f"/proc/self/fd/{dir_fd}")).name)
        real(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    go(server, "mirror")
    assert LAST in server.tree() and f"{server.backup.name}.incoming" in within
    assert not within & {pull.ARRIVING, "local_content", "zz"}, "these are the owner's"
