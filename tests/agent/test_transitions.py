"""Whole transitions on a pretended server, interrupted at every single operation."""

from __future__ import annotations

import contextlib
import hashlib
from unittest.mock import Mock

import pytest

from agent import admission, converge, cutover, delta, install, mount, proof, recovery, remount, restore
from agent.errors import Problem
from agent.journal import Journal, Step
from agent.settings import parse
from agent.system import CommandFailed

from .conftest import SYNAPSE, FakeListener, PowerLoss, Server

FILES = {
    "local_content/aa/bb/one": b"one",
    "local_content/aa/bb/empty": b"",
    "remote_content/[::1]:8448/aa/bb/two": b"two",
    "local_thumbnails/aa/bb/one/32-32-image-png-crop": b"small",
}


def fill(server: Server) -> None:
    for path, body in FILES.items():
        server.write(path, body)
    server.write("url_cache/2026-01-01/preview", b"left out")


def go(server: Server, phase: str) -> Journal:
    context = server.context()
    converge.converge(context, phase)
    return context.journal


def watch_starts(server: Server) -> None:
    """The homeserver must never start over a bare or half-filled store: see what it would find."""

    def check() -> None:
        journal = Journal.load(server.places)
        assert journal.serving in ("local", "bucket")
        if journal.serving == "local":
            assert not server.system.mounted(server.store)
            found = server.tree()
            assert all(found.get(path) == body for path, body in FILES.items())
        else:
            assert server.bucket.objects.items() >= FILES.items()

    server.system.on_start = check


def test_forward_and_back_keep_every_file(server):
    fill(server)
    watch_starts(server)
    assert go(server, "live").phase == "live"
    assert server.bucket.objects == FILES, "what is left out stays out"
    assert server.tree(server.backup).items() >= FILES.items()
    cleaned = go(server, "clean")
    assert cleaned.phase == "clean" and not server.backup.exists()
    assert "store_inode" not in cleaned.facts, "the number may be given to a mount point"
    server.bucket.objects["local_content/cc/dd/new"] = b"uploaded while live"
    assert go(server, "prepare").phase == "prepare"
    assert server.tree() == FILES | {"local_content/cc/dd/new": b"uploaded while live"}
    assert SYNAPSE in server.system.active


def operations_of(server: Server, start: str, target: str) -> int:
    """How many operations `target` takes from `start`."""
    go(server, start)
    before = server.power.used
    go(server, target)
    return server.power.used - before


@pytest.mark.parametrize(
    ("start", "target"), [("mirror", "live"), ("live", "mirror"), ("clean", "mirror"), ("live", "clean")]
)
def test_a_power_loss_at_any_operation_loses_nothing_and_the_next_run_completes(new_server, start, target):
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
        recovery.recover(fresh.context(), boot=True)
        journal = Journal.load(fresh.places)
        assert journal.step is None and journal.serving in ("local", "bucket")
        if journal.serving == "bucket":
            fresh.system.start(["matrix-media-store.service"])
        fresh.system.start([SYNAPSE])
        assert go(fresh, target).phase == target
        served = fresh.tree() if target == "mirror" else fresh.bucket.objects
        wanted = FILES | {"local_content/ee/ff/late": b"late"}
        assert {path: served.get(path) for path in wanted} == wanted, f"interrupted at operation {at}"
        assert SYNAPSE in fresh.system.active


def test_a_failing_store_in_the_restore_window_leaves_the_homeserver_running_on_the_bucket(server, monkeypatch):
    fill(server)
    go(server, "live")
    stops = len([line for line in server.system.log if line == f"stop {SYNAPSE}"])
    real = server.bucket.list

    def fail_once_stopped(*args, **options):
        if SYNAPSE not in server.system.active:
            raise OSError("the store is gone")
        return real(*args, **options)

    monkeypatch.setattr(server.bucket, "list", fail_once_stopped)
    with pytest.raises(OSError, match="the store is gone"):
        go(server, "mirror")
    journal = Journal.load(server.places)
    assert (journal.serving, journal.phase, journal.step) == ("bucket", "live", None)
    assert SYNAPSE in server.system.active and server.system.mounted(server.store)
    assert len([line for line in server.system.log if line == f"stop {SYNAPSE}"]) == stops + 1


def test_a_folder_that_happens_to_be_named_like_the_local_copy_is_never_taken_for_it(server):
    fill(server)
    go(server, "mirror")
    server.backup.mkdir()
    (server.backup / "somebody's").write_text("own")
    with pytest.raises(Problem, match="exists already"):
        go(server, "live")
    assert server.tree().items() >= FILES.items()
    assert server.tree(server.backup) == {"somebody's": b"own"}


def test_an_empty_listing_after_clean_is_not_believed(server):
    for number in range(100):
        server.write(f"local_content/aa/bb/{number}", b"x%d" % number)
    go(server, "clean")
    kept = dict(server.bucket.objects)
    server.bucket.objects.clear()
    with pytest.raises(Problem, match="gone from the bucket"):
        go(server, "prepare")
    assert Journal.load(server.places).serving == "bucket"
    assert SYNAPSE in server.system.active
    server.bucket.objects.update(kept)
    assert go(server, "prepare").phase == "prepare"
    assert server.tree() == kept


def test_recovery_without_the_stores_disk_holds_the_services_instead_of_serving_nothing(server):
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
            step = Journal.load(server.places).step
            if step and step.stage == "swapping" and server.backup.exists():
                break
        server.reboot()
        server.system.active.add(SYNAPSE)
        recovery.recover(server.context())
        go(server, "mirror")
    else:
        raise AssertionError("never interrupted in the swap")
    server.reboot()
    away = server.backup.rename(server.root / "disk-not-mounted-yet")
    with pytest.raises(Problem, match="is its disk mounted"):
        recovery.recover(server.context(), boot=True)
    assert Journal.load(server.places).serving == "none"
    away.rename(server.backup)
    recovery.recover(server.context())
    assert server.tree().items() >= FILES.items()


def test_a_purged_file_does_not_come_back_even_if_it_was_sent_and_never_known(server):
    fill(server)
    context = server.context()
    with context.manifest() as manifest:
        manifest.add_sent(["local_content/zz/zz/purged"])
        manifest.add_sent(FILES)
    server.bucket.objects["local_content/zz/zz/purged"] = b"uploaded by a run that was killed"
    server.bucket.objects["foreign"] = b"not ours"
    go(server, "mirror")
    assert "local_content/zz/zz/purged" not in server.bucket.objects
    assert server.bucket.objects["foreign"] == b"not ours", "nothing is removed that was not put there"


def test_a_purge_while_live_is_followed_home_and_kept_aside(server):
    fill(server)
    for number in range(50):
        server.write(f"local_content/cc/cc/{number}", b"%d" % number)
    go(server, "live")
    del server.bucket.objects["local_content/aa/bb/one"]
    go(server, "mirror")
    assert "local_content/aa/bb/one" not in server.tree()
    (aside,) = server.store.parent.glob("media-store-removed-*")
    assert (aside / "local_content/aa/bb/one").read_bytes() == b"one"


def test_clean_refuses_any_difference_and_removes_nothing(server):
    fill(server)
    go(server, "live")
    server.bucket.objects["local_content/aa/bb/one"] = b"onE"
    copy = server.tree(server.backup)
    with pytest.raises(Problem, match="not in the bucket with the same content"):
        go(server, "clean")
    assert server.tree(server.backup) == copy
    assert (server.places.var / "unresolved.txt").read_text() == "local_content/aa/bb/one\n"


def test_the_route_between_phases_goes_through_their_neighbours():
    assert converge.route("local", "live") == [("local", "prepare"), ("prepare", "mirror"), ("mirror", "live")]
    assert converge.route("clean", "prepare") == [("clean", "live"), ("live", "mirror"), ("mirror", "prepare")]
    assert converge.route("live", "live") == []


def test_a_generation_that_moved_is_refused(server):
    fill(server)
    go(server, "mirror")
    context = server.context()
    with pytest.raises(Problem, match="the server changed since it was looked at"):
        converge.check_generation(context, str(context.journal.generation - 1))
    converge.check_generation(context, str(context.journal.generation))
    converge.check_generation(context, "any")


def test_a_service_that_is_still_stopping_is_waited_for_and_started_again(server):
    fill(server)
    go(server, "live")
    server.system.reported = "deactivating"
    server.system.log.clear()
    go(server, "mirror")
    assert f"stop {SYNAPSE}" in server.system.log
    assert f"start {SYNAPSE}" in server.system.log


def test_a_remount_that_comes_too_late_does_not_mount_over_the_local_store(server):
    fill(server)
    go(server, "mirror")
    context = server.context()
    context.journal.facts["remount"] = True
    remount.remount(context)
    assert Journal.load(server.places).serving == "local"
    assert not server.system.mounted(server.store) and not context.journal.facts["remount"]
    with pytest.raises(Problem, match="is the local media store"):
        admission.check(server.system, context.settings, context.journal, server.store)
    admission.check(server.system, context.settings, context.journal, server.places.staging)


def test_a_unit_that_is_gone_does_not_hold_up_the_others(server):
    fill(server)
    go(server, "mirror")
    context = server.context()
    context.journal.step = Step("cutover", "delta", [SYNAPSE, "matrix-synapse-worker-gone.service"])
    context.journal.serving = "none"
    context.save()
    server.system.active.clear()
    server.system.gone = "matrix-synapse-worker-gone.service"
    recovery.recover(server.context())
    assert Journal.load(server.places).step is None
    assert SYNAPSE in server.system.active


def test_what_is_left_out_may_not_change_once_the_bucket_relies_on_it(server):
    fill(server)
    go(server, "live")
    install.keep(server.places, {"migration": {"exclude": ["url_cache"]}})
    with pytest.raises(Problem, match="copy.exclude changed in phase live"):
        install.keep_migration(server.places, {"migration": {"exclude": ["url_cache", "remote_content"]}})
    install.keep_migration(server.places, {"migration": {"exclude": ["url_cache"], "transfers": 4}})


def test_clean_keeps_what_the_stack_left_out_and_synapse_does_not_rebuild(server):
    fill(server)
    server.write("own_folder/file", b"never copied")
    server.settings = parse(
        {"host": {"media_store": str(server.store)}, "migration": {"exclude": ["url_cache", "own_folder"]}}
    )
    go(server, "clean")
    assert not server.backup.exists()
    (kept,) = server.store.parent.glob("media-store-left-out-*")
    assert server.tree(kept) == {"own_folder/file": b"never copied"}


def test_settings_that_do_not_mount_beside_are_taken_back_before_anything_stops(server, monkeypatch):
    fill(server)
    go(server, "live")
    context = server.context()
    before = {path: path.read_bytes() for path in (server.places.units / "matrix-media-store.service",)}
    monkeypatch.setattr(mount, "read_files", lambda context: dict(before))
    monkeypatch.setattr(install.preflight, "run", lambda context: None)
    monkeypatch.setattr(install, "install_packages", lambda context: None)

    def broken(context):
        unit = server.places.units / "matrix-media-store.service"
        unit.write_text("new and broken")
        return {unit}

    def dead(context):
        raise Problem("goofys ended", "look")

    monkeypatch.setattr(mount, "install", broken)
    monkeypatch.setattr(mount, "start_staging", dead)
    server.system.log.clear()
    with pytest.raises(Problem, match="goofys ended"):
        install.install_mount(context, {"store": {}, "mount": {}})
    assert (server.places.units / "matrix-media-store.service").read_bytes() == before.popitem()[1]
    assert f"stop {SYNAPSE}" not in server.system.log
    assert not context.journal.facts.get("remount")


def test_a_server_to_which_people_upload_all_the_time_still_comes_home(server, monkeypatch):
    fill(server)
    go(server, "live")
    uploads = iter(range(100))
    real = restore.copying.download

    def upload_meanwhile(*arguments):
        real(*arguments)
        if SYNAPSE in server.system.active:
            number = next(uploads)
            server.bucket.objects[f"local_content/zz/zz/{number}"] = b"%d" % number

    monkeypatch.setattr(restore.copying, "download", upload_meanwhile)
    server.bucket.objects["local_content/zz/zz/first"] = b"first"
    go(server, "mirror")
    served = server.tree()
    assert next(uploads) >= 3, "somebody uploaded in every round"
    assert {path for path in server.bucket.objects if path.startswith("local_content/zz")} <= set(served)


def test_an_object_that_never_arrives_stops_the_way_home_before_anything_stops(server, monkeypatch):
    fill(server)
    go(server, "live")
    server.bucket.objects["local_content/zz/zz/never"] = b"never"
    real = restore.copying.download

    def all_but_one(context, target, objects, progress):
        real(context, target, [item for item in objects if not item.key.endswith("never")], progress)

    monkeypatch.setattr(restore.copying, "download", all_but_one)
    server.system.log.clear()
    with pytest.raises(Problem, match="did not arrive whole.*never"):
        go(server, "mirror")
    assert f"stop {SYNAPSE}" not in server.system.log


def test_an_agent_that_was_killed_before_it_knew_the_mount_is_put_in_place_again(server, monkeypatch):
    monkeypatch.setattr(install.preflight, "run", lambda context: None)
    monkeypatch.setattr(install, "this_agent", lambda: b"agent")
    server.places.credentials.parent.mkdir(parents=True, exist_ok=True)
    server.places.credentials.write_text("written by the run that was killed")
    document = {"host": {"media_store": str(server.store)}}
    install.install(server.context(), hashlib.sha256(b"agent").hexdigest(), document)
    assert server.places.agent.read_bytes() == b"agent"


def test_a_store_that_goes_away_on_the_way_home_ends_it_after_the_first_lot(server, monkeypatch):
    fill(server)
    go(server, "live")
    monkeypatch.setattr(restore, "LOT", 1)
    for number in range(5):
        server.bucket.objects[f"local_content/zz/zz/{number}"] = b"%d" % number
    tried = []

    def refuse(*_, **__):
        raise OSError("connection refused")

    def fail(context, target, objects, progress):
        tried.extend(objects)
        monkeypatch.setattr(server.bucket, "list", refuse)
        raise CommandFailed(["rclone"], 1, "connection refused")

    monkeypatch.setattr(restore.copying, "download", fail)
    with pytest.raises(OSError, match="connection refused"):
        go(server, "mirror")
    assert len(tried) == 1 and SYNAPSE in server.system.active


def deaf_to(monkeypatch, *paths: str) -> None:
    """The kernel never tells of these."""
    monkeypatch.setattr(FakeListener, "changed", lambda self, told=FakeListener.changed: told(self) - set(paths))


def late(server: Server, monkeypatch, path: str, body: bytes) -> None:
    """A file that is written as the homeserver ends."""
    stop = type(server.system).stop

    def stopped(units, timeout=0):
        stop(server.system, units, timeout)
        if SYNAPSE in units:
            server.write(path, body)

    monkeypatch.setattr(server.system, "stop", stopped)


def test_what_nobody_told_of_in_the_window_keeps_live_unproven_until_it_is_in_the_bucket(server, monkeypatch):
    fill(server)
    go(server, "mirror")
    deaf_to(monkeypatch, "local_content/ee/ff/late")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    for _ in range(2):
        with pytest.raises(Problem, match="1 files of the local copy .*'local_content/ee/ff/late' among them"):
            go(server, "live")
        journal = Journal.load(server.places)
        assert (journal.phase, journal.serving, journal.facts["proven"]) == ("live", "bucket", False)
        assert SYNAPSE in server.system.active
    server.bucket.objects["local_content/ee/ff/late"] = b"late"
    assert go(server, "live").facts["proven"]
    assert go(server, "clean").phase == "clean"


def test_what_nobody_told_of_is_still_in_the_store_after_the_way_home(server, monkeypatch):
    fill(server)
    go(server, "mirror")
    deaf_to(monkeypatch, "local_content/ee/ff/late")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    with pytest.raises(Problem, match="among them"):
        go(server, "live")
    go(server, "mirror")
    assert server.tree()["local_content/ee/ff/late"] == b"late"
    assert go(server, "live").facts["proven"]
    assert server.bucket.objects["local_content/ee/ff/late"] == b"late"


def test_a_walk_after_the_window_that_failed_is_made_up_by_the_next_run(server, monkeypatch):
    fill(server)
    go(server, "mirror")
    with monkeypatch.context() as patch:
        patch.setattr(delta, "walk", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        patch.setattr(delta, "before_window", lambda *_: (0, Mock(listener=None)))
        patch.setattr(delta, "in_window", lambda *_: {"changed": 0, "removed": 0, "walked": False})
        with pytest.raises(OSError, match="Input/output"):
            go(server, "live")
    assert SYNAPSE in server.system.active
    walked = []
    monkeypatch.setattr(delta, "verify", lambda context, copy: walked.append(copy))
    assert go(server, "live").facts["proven"] and walked == [server.backup]


def test_another_folder_is_not_walked_for_the_local_copy_that_was_moved_away(server, monkeypatch):
    fill(server)
    go(server, "mirror")
    prove = proof.prove

    def moved(context):
        server.backup.rename(server.root / "moved")
        server.backup.mkdir()
        return prove(context)

    monkeypatch.setattr(proof, "prove", moved)
    monkeypatch.setattr(delta, "verify", lambda *_: pytest.fail("another folder was walked"))
    assert go(server, "live").facts["proven"]


def test_where_a_walk_was_the_window_none_follows_it(server, monkeypatch):
    monkeypatch.setattr(cutover, "listening", lambda root: contextlib.nullcontext())
    monkeypatch.setattr(delta, "verify", lambda *_: pytest.fail("one more walk"))
    fill(server)
    go(server, "mirror")
    late(server, monkeypatch, "local_content/ee/ff/late", b"late")
    assert go(server, "live").facts["last"]["window_files"] == 1
    assert server.bucket.objects == FILES | {"local_content/ee/ff/late": b"late"}
