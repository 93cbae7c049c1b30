"""Whole transitions on a pretended server, interrupted at every single operation."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agent.copying import trial
from agent.host import compiled
from agent.migration import converge, recovery, remount
from agent.model.errors import Problem
from agent.model.phases import ANY, Owed, Phase, Side, Stage, Window, route
from agent.serving import admission, mount
from agent.setup import install, preflight
from agent.setup import mount as setup_mount
from agent.state.run import keep_settings

from .conftest import Machine, NewServer
from .fakes import SYNAPSE, PowerLoss
from .moves import FILES, fill, go, watch_starts


def test_forward_and_back_keep_every_file(server: Machine) -> None:
    fill(server)
    watch_starts(server)
    assert go(server, "live").phase == "live"
    assert server.bucket.objects == FILES, "what is left out stays out"
    assert server.tree(server.backup).items() >= FILES.items()
    cleaned = go(server, "clean")
    assert cleaned.phase == "clean" and not server.backup.exists()
    assert cleaned.local_store and cleaned.local_store.inode is None, "the number may be given to a mount point"
    server.bucket.objects["local_content/cc/dd/new"] = b"uploaded while live"
    assert go(server, "prepare").phase == "prepare"
    assert server.tree() == FILES | {"local_content/cc/dd/new": b"uploaded while live"}
    assert SYNAPSE in server.system.active


def operations_of(server: Machine, start: str, target: str) -> int:
    """How many operations `target` takes from `start`."""
    go(server, start)
    before = server.power.used
    go(server, target)
    return server.power.used - before


@pytest.mark.parametrize(
    ("start", "target"), [("mirror", "live"), ("live", "mirror"), ("clean", "mirror"), ("live", "clean")]
)
def test_a_power_loss_at_any_operation_loses_nothing_and_the_next_run_completes(
    new_server: NewServer, start: str, target: str
) -> None:
    counted = new_server()
    fill(counted)
    operations = operations_of(counted, start, target)
    assert operations > 5
    for at in range(operations):
        fresh = new_server()
        fill(fresh)
        go(fresh, start)
        watch_starts(fresh)
        if start == "mirror":
            fresh.write("local_content/ee/ff/late", b"late")
        else:
            fresh.bucket.objects["local_content/ee/ff/late"] = b"late"
        fresh.power.left = at
        with pytest.raises(PowerLoss):
            go(fresh, target)
        fresh.reboot()
        recovery.recover(fresh.run(), boot=True)
        journal = fresh.journal
        assert journal.window is None and journal.serving in (Side.LOCAL, Side.BUCKET)
        if journal.serving is Side.BUCKET:
            fresh.system.start(["matrix-media-store.service"])
        fresh.system.start([SYNAPSE])
        assert go(fresh, target).phase == target
        served = fresh.tree() if target == "mirror" else fresh.bucket.objects
        wanted = FILES | {"local_content/ee/ff/late": b"late"}
        assert {path: served.get(path) for path in wanted} == wanted, f"interrupted at operation {at}"
        assert SYNAPSE in fresh.system.active


def test_a_folder_that_happens_to_be_named_like_the_local_copy_is_never_taken_for_it(server: Machine) -> None:
    fill(server)
    go(server, "mirror")
    server.backup.mkdir()
    (server.backup / "somebody's").write_text("own")
    with pytest.raises(Problem, match="exists already"):
        go(server, "live")
    assert server.tree().items() >= FILES.items()
    assert server.tree(server.backup) == {"somebody's": b"own"}


def test_a_purged_file_does_not_come_back_even_if_it_was_sent_and_never_known(server: Machine) -> None:
    fill(server)
    with server.agent.manifest() as manifest:
        manifest.add_sent(["local_content/zz/zz/purged"])
        manifest.add_sent(FILES)
    server.bucket.objects["local_content/zz/zz/purged"] = b"uploaded by a run that was killed"
    server.bucket.objects["foreign"] = b"not ours"
    go(server, "mirror")
    assert "local_content/zz/zz/purged" not in server.bucket.objects
    assert server.bucket.objects["foreign"] == b"not ours", "nothing is removed that was not put there"


def test_clean_refuses_any_difference_and_removes_nothing(server: Machine) -> None:
    fill(server)
    go(server, "live")
    server.bucket.objects["local_content/aa/bb/one"] = b"onE"
    copy = server.tree(server.backup)
    with pytest.raises(Problem, match="not in the bucket with the same content"):
        go(server, "clean")
    assert server.tree(server.backup) == copy
    assert (server.layout.var / "unresolved.txt").read_text() == "local_content/aa/bb/one\n"


def test_the_route_between_phases_goes_through_their_neighbours() -> None:
    assert route(Phase.LOCAL, Phase.LIVE) == [("local", "prepare"), ("prepare", "mirror"), ("mirror", "live")]
    assert route(Phase.CLEAN, Phase.PREPARE) == [("clean", "live"), ("live", "mirror"), ("mirror", "prepare")]
    assert route(Phase.LIVE, Phase.LIVE) == []


def test_a_generation_that_moved_is_refused(server: Machine) -> None:
    fill(server)
    go(server, "mirror")
    journal = server.journal
    with pytest.raises(Problem, match="the server changed since it was looked at"):
        converge.check_generation(journal, str(journal.generation - 1))
    converge.check_generation(journal, str(journal.generation))
    converge.check_generation(journal, ANY)


def test_a_service_that_is_still_stopping_is_waited_for_and_started_again(server: Machine) -> None:
    fill(server)
    go(server, "live")
    server.system.reported = "deactivating"
    server.system.log.clear()
    go(server, "mirror")
    assert f"stop {SYNAPSE}" in server.system.log
    assert f"start {SYNAPSE}" in server.system.log


def test_a_remount_that_comes_too_late_does_not_mount_over_the_local_store(server: Machine) -> None:
    fill(server)
    go(server, "mirror")
    server.hold(owed=[Owed.REMOUNT])
    remount.remount(server.run(), server.run)
    journal = server.journal
    assert journal.serving is Side.LOCAL
    assert not server.system.mounted(server.store) and not journal.owed
    with pytest.raises(Problem, match="is the local media store"):
        admission.check(server.system, server.settings, journal, server.store)
    admission.check(server.system, server.settings, journal, server.layout.staging)


def test_a_unit_that_is_gone_does_not_hold_up_the_others(server: Machine) -> None:
    fill(server)
    go(server, "mirror")
    units = [SYNAPSE, "matrix-synapse-worker-gone.service"]
    server.hold(serving=Side.NOBODY, window=(Window.CUTOVER, Stage.DELTA), units=units)
    server.system.active.clear()
    server.system.gone = "matrix-synapse-worker-gone.service"
    recovery.recover(server.run())
    assert server.journal.window is None
    assert SYNAPSE in server.system.active


def test_what_is_left_out_may_not_change_once_the_bucket_relies_on_it(server: Machine) -> None:
    fill(server)
    go(server, "live")
    keep_settings(server.layout, {"copy": {"exclude": ["url_cache"]}})
    server.tell(copy={"exclude": ["url_cache", "remote_content"]})
    with pytest.raises(Problem, match="copy.exclude changed in phase live"):
        install.keep_copy_settings(server.run(), {"copy": {"exclude": ["url_cache", "remote_content"]}})
    server.tell(copy={"exclude": ["url_cache"], "transfers": 4})
    install.keep_copy_settings(server.run(), {"copy": {"exclude": ["url_cache"], "transfers": 4}})


def test_clean_keeps_what_the_stack_left_out_and_synapse_does_not_rebuild(server: Machine) -> None:
    fill(server)
    server.write("own_folder/file", b"never copied")
    server.tell(copy={"exclude": ["url_cache", "own_folder"]})
    go(server, "clean")
    assert not server.backup.exists()
    (kept,) = server.store.parent.glob("media-store-left-out-*")
    assert server.tree(kept) == {"own_folder/file": b"never copied"}


def test_settings_that_do_not_mount_beside_are_taken_back_before_anything_stops(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    unit = server.layout.units / "matrix-media-store.service"
    before = unit.read_bytes()
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(setup_mount, "install_packages", lambda *_: None)

    def broken(*_: object) -> set[Path]:
        unit.write_text("new and broken")
        return {unit}

    def dead(*_: object) -> None:
        raise Problem("goofys ended", "look")

    monkeypatch.setattr(setup_mount, "lay_files", broken)
    monkeypatch.setattr(trial, "try_copies", lambda *_: None)
    monkeypatch.setattr(mount, "start_staging", dead)
    server.system.log.clear()
    with pytest.raises(Problem, match="goofys ended"):
        setup_mount.install(server.run(), {"store": {}, "mount": {}})
    assert unit.read_bytes() == before
    assert f"stop {SYNAPSE}" not in server.system.log
    assert not server.journal.owed


def test_an_agent_that_was_killed_before_it_knew_the_mount_is_put_in_place_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(install, "this_agent", lambda: b"agent")
    monkeypatch.setattr(compiled, "lay", lambda *_: None)
    server.layout.credentials.parent.mkdir(parents=True, exist_ok=True)
    server.layout.credentials.write_text("written by the run that was killed")
    document = {"host": {"media_store": str(server.store)}}
    install.install(server.run(), hashlib.sha256(b"agent").hexdigest(), document)
    assert server.layout.agent.read_bytes() == b"agent"


def test_files_with_several_names_are_compared_and_removed_like_all_others(server: Machine) -> None:
    """Review, entry 19: jdupes and rdfind link equal files; to remove one name changes the other's ctime."""
    fill(server)
    for number in range(3):
        os.link(server.store / "local_content/aa/bb/one", server.store / f"local_content/aa/bb/same{number}")
    go(server, "live")
    kept = server.root / "a link outside"
    os.link(server.backup / "local_content/aa/bb/same0", kept)
    assert go(server, "clean").phase == "clean"
    assert not server.backup.exists() and kept.read_bytes() == b"one"
    assert not list(server.store.parent.glob("*.removing"))


@pytest.mark.parametrize("start", ["prepare", "mirror"])
def test_the_local_copy_does_not_go_in_the_run_that_makes_the_bucket_serve(server: Machine, start: str) -> None:
    """Review, entry 55."""
    fill(server)
    server.tell(migration={"clean_at_once": False})
    go(server, start)
    with pytest.raises(Problem, match=f"phase clean would follow {start} in one update.* -- set phase to live first"):
        go(server, "clean")
    assert server.journal.phase == start and server.tree().items() >= FILES.items()
    go(server, "live")
    assert go(server, "clean").phase == "clean" and not server.backup.exists()
