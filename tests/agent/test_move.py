"""The media move from one store to another: nothing is lost, and at any moment one of both serves and has all."""

from __future__ import annotations

import pytest

from agent.migration import recovery, unaccounted
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import admission, mount
from agent.setup import move as beginning
from agent.state import moving
from agent.state.run import keep_settings
from agent.store import ownership

from .conftest import Machine
from .fakes import SYNAPSE
from .holding import CONTAINER, hearing, stopped
from .moves import FILES, go
from .moving import NEW, OLD, ask, change, files_in, go_on, live, pretend, served, told


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)


def test_services_are_held_and_all_media_are_in_the_new_store_which_serves(server: Machine) -> None:
    live(server)
    server.system.seen, seen = [CONTAINER], list[str]()
    server.system.on_freeze = lambda: seen.append(served(server))
    change(server)
    assert seen == [OLD, NEW], "which bucket served as services stood still: for the move, and for our own mount"
    assert served(server) == NEW and server.system.origin[server.store] == MOUNT_UNIT
    assert files_in(server.buckets[NEW]).items() >= FILES.items() and not stopped(server)
    assert server.journal.phase is Phase.LIVE and server.journal.settled(Phase.LIVE) and not server.journal.owed
    assert told(server).settings.store.bucket == NEW and not server.layout.moving.exists()
    assert files_in(server.buckets[OLD]).items() >= FILES.items(), "what was left keeps all it had"


def test_what_came_while_services_stood_still_is_in_the_new_store(server: Machine) -> None:
    live(server)
    late = {"local_content/aa/bb/late": b"late", "local_content/aa/bb/one": b"rewritten"}
    server.system.on_freeze = lambda: server.buckets[OLD].objects.update(late)
    change(server)
    assert files_in(server.buckets[NEW]).items() >= late.items()


def test_services_that_make_a_folder_just_then_go_on_before_the_stores_are_exchanged(server: Machine) -> None:
    live(server)
    server.system.making, seen = [["4711"], []], list[str]()
    server.system.on_freeze = lambda: seen.append(served(server))
    change(server)
    assert seen == [OLD, OLD, NEW] and not stopped(server)


def test_where_services_cannot_be_held_they_are_stopped_for_it(server: Machine) -> None:
    live(server)
    server.tell(cutover={"method": "restart"})
    keep_settings(server.layout, {"cutover": {"method": "restart"}})
    at_stop = list[str]()
    server.system.on_stop = lambda: at_stop.append(served(server))
    change(server)
    assert at_stop == [OLD] and served(server) == NEW and SYNAPSE in server.system.active
    assert files_in(server.buckets[NEW]).items() >= FILES.items() and not server.journal.owed


def test_what_nobody_told_of_comes_over_afterwards(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    live(server)
    monkeypatch.setattr(unaccounted, "purged", lambda *_: set())
    server.hear = hearing(server, {"local_content/aa/bb/unheard"})

    def unheard() -> None:
        server.buckets[OLD].objects["local_content/aa/bb/unheard"] = b"unheard"
        server.system.on_freeze = lambda: None

    server.system.on_freeze = unheard
    change(server)
    assert server.buckets[NEW].objects["local_content/aa/bb/unheard"] == b"unheard"
    assert any("nobody told of them" in line for line in server.said)


def test_what_was_purged_during_the_move_is_gone_from_the_new_store_too(server: Machine) -> None:
    live(server)
    gone = "local_content/aa/bb/one"

    def purge() -> None:
        server.buckets[OLD].objects.pop(gone, None)

    server.system.on_freeze = purge
    change(server)
    assert gone not in server.buckets[NEW].objects


def test_what_was_purged_since_the_media_left_does_not_come_back_with_the_way_back(server: Machine) -> None:
    live(server)
    change(server)
    purged = "local_content/aa/bb/one"
    del server.buckets[NEW].objects[purged]
    server.bucket = server.copier.bucket = server.buckets[NEW]
    server.hear = hearing(server, set())
    ask(server, bucket=OLD, name="")
    go_on(server)
    assert served(server) == OLD and purged not in server.buckets[OLD].objects


def test_what_was_purged_after_the_move_does_not_come_back(server: Machine) -> None:
    live(server)
    gone, freezes = "local_content/aa/bb/one", list[int]()

    def second() -> None:
        freezes.append(1)
        if len(freezes) == 2:
            del server.buckets[NEW].objects[gone]

    server.system.on_freeze = second
    change(server)
    assert gone in server.buckets[OLD].objects and gone not in server.buckets[NEW].objects


def test_what_is_written_to_the_new_store_before_the_last_look_stays(server: Machine) -> None:
    live(server)
    name, freezes = "local_thumbnails/aa/bb/one/32-32-image-png-crop", list[int]()

    def second() -> None:
        freezes.append(1)
        if len(freezes) == 2:
            server.buckets[NEW].objects[name] = b"newer"

    server.system.on_freeze = second
    change(server)
    assert server.buckets[NEW].objects[name] == b"newer"


def test_the_way_home_after_a_move_compares_by_what_is_in_the_new_store(server: Machine) -> None:
    live(server)
    change(server)
    server.bucket = server.buckets[NEW]
    server.copier.bucket = server.bucket
    server.hear = hearing(server, set())
    server.bucket.objects["local_content/aa/bb/after"] = b"after"
    journal = go(server, "prepare")
    assert journal.serving is Side.LOCAL
    assert server.tree().items() >= {**FILES, "local_content/aa/bb/after": b"after"}.items()


def test_a_process_that_does_not_see_the_new_mount_has_the_earlier_one_until_services_are_stopped(
    server: Machine,
) -> None:
    live(server)
    server.system.seen = server.system.unseeing = [CONTAINER]
    at_stop = list[str]()
    server.system.on_stop = lambda: at_stop.append(served(server))
    change(server)
    assert at_stop == [OLD] and served(server) == NEW and SYNAPSE in server.system.active


def test_a_move_that_is_given_up_leaves_the_earlier_store_as_it_was(server: Machine) -> None:
    live(server)
    before = (server.layout.units / STAGING_UNIT).read_text()
    ask(server)
    assert (server.layout.units / STAGING_UNIT).read_text() != before
    beginning.give_up(server.run())
    assert (server.layout.units / STAGING_UNIT).read_text() == before and not server.layout.moving.exists()
    assert not server.layout.of_move.credentials.exists() and served(server) == OLD


def test_media_of_somebody_else_in_the_new_bucket_are_refused(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    live(server)
    monkeypatch.setattr(ownership, "check", lambda *_, **__: None)
    server.buckets[NEW].objects["local_content/zz/zz/theirs"] = b"theirs"
    with pytest.raises(Problem, match="holds media already"):
        ask(server)
    assert not server.layout.moving.exists()


def test_a_prefix_within_the_other_store_is_refused(server: Machine) -> None:
    live(server)
    with pytest.raises(Problem, match="lies in the other"):
        ask(server, bucket=OLD, prefix="inside")


def test_no_mount_comes_up_between_the_decision_and_the_new_stores_keys(server: Machine) -> None:
    live(server)
    ask(server)
    journal = server.hold(serving=Side.NOBODY, window=(Window.MOVE, Stage.STARTING))
    with pytest.raises(Problem, match="whose keys are not in use yet"):
        admission.check(server.system, server.settings, journal, server.store)
    found = moving.read(server.layout)
    assert found
    moving.bring_in(server.layout, server.system, found)
    admission.check(server.system, server.settings, journal, server.store)


def test_recovery_brings_our_mount_back_where_the_move_was_not_decided(server: Machine) -> None:
    live(server)
    ask(server)
    server.system.start([STAGING_UNIT])
    server.hold(serving=Side.NOBODY, window=(Window.MOVE, Stage.DELTA), units=[SYNAPSE])
    mount.show_staging(server.agent, lambda: None)
    assert served(server) == NEW
    recovery.recover(server.run())
    assert served(server) == OLD and server.journal.window is None
