"""Whose mount serves, and what the playbook's may do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from agent import admission, converge, guard, handover, install, mount, preflight, recovery, services, watchdog
from agent.context import Context
from agent.errors import Problem
from agent.journal import Journal, Step
from agent.places import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.settings import parse
from agent.system import COVER, CommandFailed, System
from agent.watchdog import Act

from .conftest import PowerLoss, Server

STORE = {"endpoint": "https://store.test", "region": "r", "bucket": "b", "access_key_id": "k", "secret_access_key": "s"}
#: As the playbook writes it, but for the container.
ITS_KEYS = "AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=s\n"
ITS_UNIT = "EnvironmentFile={keys}\nExecStart=goofys -f --endpoint=https://store.test --region r b {store}\n"


def tell(server: Server, managed_by: str = "playbook", **store: str) -> None:
    server.settings = parse(
        {
            "host": {"media_store": str(server.store)},
            "store": {**STORE, **store},
            "mount": {"managed_by": managed_by},
        }
    )


def lay_playbooks_unit(server: Server, text: str = ITS_UNIT, keys: str = ITS_KEYS) -> Path:
    unit, env = server.places.units / PLAYBOOK_UNIT, server.root / "env-goofys"
    env.write_text(keys)
    unit.write_text("[Service]\n" + text.format(keys=env, store=server.store))
    return unit


def serving(server: Server, who: str = MOUNT_UNIT) -> Context:
    """The bucket serves, mounted by that unit; the local copy lies beside the mount point."""
    inode = server.store.stat().st_ino
    os.rename(server.store, server.backup)
    mount.make_mount_point(server.store)
    context = server.context()
    context.journal.serving, context.journal.phase = "bucket", "live"
    context.journal.facts["store_inode"] = inode
    context.save()
    if who == PLAYBOOK_UNIT:
        server.places.gave_way.touch()
    server.system.active.add(who)
    server.system.mounts.add(server.store)
    server.system.log.clear()
    return context


@pytest.mark.parametrize(
    ("managed_by", "laid", "gave_way", "unit"),
    [
        ("stack", False, True, MOUNT_UNIT),
        ("stack", True, True, MOUNT_UNIT),
        ("playbook", False, True, MOUNT_UNIT),
        ("playbook", True, False, MOUNT_UNIT),
        ("playbook", True, True, PLAYBOOK_UNIT),
    ],
)
def test_the_playbooks_unit_serves_only_where_that_was_agreed_it_is_there_and_ours_gave_way(
    server: Server, managed_by, laid, gave_way, unit
):
    tell(server, managed_by)
    if laid:
        lay_playbooks_unit(server)
    if gave_way:
        server.places.gave_way.touch()
    context = server.context()
    context.journal.serving = "bucket"
    assert handover.serving_unit(context) == unit
    assert mount.units_to_run(context)[0] == unit
    server.system.log.clear()
    watchdog.act(context, {Act.START_MOUNT})
    enabled, started = server.system.log
    assert enabled.startswith("enable ") and unit in enabled, "it comes up at the next boot too"
    assert started.startswith(f"start {unit} ")


def test_the_drop_in_for_the_playbooks_mount_is_there_only_where_it_was_agreed(server: Server):
    drop_in = server.places.units / f"{PLAYBOOK_UNIT}.d" / services.DROP_IN
    tell(server, "playbook")
    text = services.guard_files(server.context())[drop_in].decode()
    assert "ExecCondition=+/usr/bin/python3 " in text and "ExecStartPost=\n" in text
    tell(server, "stack")
    assert drop_in not in services.guard_files(server.context())


@pytest.mark.parametrize(
    ("version", "old"), [("systemd 252 (252.39-1~deb12u1)\n+PAM", False), ("systemd 247 (247.3-7)\n", True)]
)
def test_a_systemd_that_knows_no_conditions_is_refused(server: Server, monkeypatch, version, old):
    monkeypatch.setattr(server.system, "run", lambda argv: version)
    with pytest.raises(Problem, match="too old") if old else contextlib.nullcontext():
        preflight.check_conditions(server.context())


def run(server: Server, monkeypatch) -> list[list[str]]:
    called: list[list[str]] = []
    monkeypatch.setattr(server.system, "run", lambda argv, **_: called.append(argv) or "")
    return called


def test_the_playbooks_user_mounts_over_a_cover_that_takes_no_file(server: Server, monkeypatch):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)
    called = run(server, monkeypatch)
    handover.give_way(context)
    (mounted,) = called
    assert mounted[:3] == ["mount", "-t", "tmpfs"] and mounted[-1] == str(server.store)
    assert "nr_inodes=1" in mounted[4] and f"uid={context.owner[0]}" in mounted[4]
    assert MOUNT_UNIT not in server.system.active and server.store not in server.system.mounts
    assert f"disable --quiet --no-reload {MOUNT_UNIT}" in server.system.log
    assert server.store.stat().st_mode & 0o777 == 0, "beneath the cover nothing opens"
    assert handover.serving_unit(server.context()) == PLAYBOOK_UNIT


def test_a_power_loss_while_ours_gives_way_leaves_one_of_them_to_serve(new_server):
    """At each moment: a unit that serves, and that one may come up at the next boot."""
    reached = 0
    for left in range(100):
        server = new_server()
        tell(server)
        lay_playbooks_unit(server)
        context = serving(server)
        server.power.used, server.power.left = 0, left
        try:
            handover.give_way(context)
        except PowerLoss:
            reached += 1
        else:
            break
        server.reboot()
        context = server.context()
        ours_disabled = any(line.startswith("disable") for line in server.system.log)
        if handover.serving_unit(context) == MOUNT_UNIT:
            assert not ours_disabled
            admission.check(server.places, context.settings, context.journal, server.store)
        else:
            handover.give_way(context)
    assert reached >= 4


@pytest.mark.parametrize("journal", ["local", "none", "bucket"])
@pytest.mark.parametrize("files", [True, False])
def test_over_a_local_store_nothing_is_mounted_whatever_the_journal_says(server: Server, monkeypatch, journal, files):
    tell(server)
    lay_playbooks_unit(server)
    if files:
        server.write("local_content/aa/bb/c", b"photo")
    context = server.context()
    context.journal.serving = journal
    context.journal.facts["store_inode"] = server.store.stat().st_ino
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        handover.give_way(context)
    assert called == []


def test_a_store_that_came_home_while_ours_was_stopped_is_not_covered(server: Server, monkeypatch):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)
    called = run(server, monkeypatch)
    stop = server.system.stop

    def stop_and_come_home(units, timeout=0):
        stop(units, timeout)
        server.store.rmdir()
        os.rename(server.backup, server.store)
        Journal(phase="mirror", serving="local", facts=context.journal.facts).save(server.places)

    monkeypatch.setattr(server.system, "stop", stop_and_come_home)
    with pytest.raises(Problem, match="is the local media store"):
        handover.give_way(context)
    assert called == []
    assert not any(line.startswith("start") for line in server.system.log), "ours must not cover it either"


def test_on_the_way_home_it_does_not_come_up(server: Server, monkeypatch):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)
    context.journal.serving, context.journal.step = "none", Step("restore", "swapping", [])
    context.save()
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        handover.give_way(context)
    assert called == [] and MOUNT_UNIT in server.system.active


SHELL = "ExecStart=docker run --env-file={keys} --mount type=bind,src={store},dst=/s3 i \\\n -c 'goofys -f %s /s3'"
AWS = {"endpoint": "https://s3.eu-west-1.amazonaws.com", "region": "eu-west-1"}


@pytest.mark.parametrize(
    ("text", "keys", "store", "why"),
    [
        (ITS_UNIT, ITS_KEYS, {}, ""),
        (SHELL % "--endpoint=https://store.test --region r b", ITS_KEYS, {}, ""),
        (SHELL % "--storage-class=STANDARD_IA --region eu-west-1 b", ITS_KEYS, AWS, ""),
        (SHELL % "--endpoint=https://s3.eu-west-1.amazonaws.com --region eu-west-1 b", ITS_KEYS, AWS, ""),
        (ITS_UNIT, "AWS_ACCESS_KEY_ID=k\nAWS_SECRET_ACCESS_KEY=s\n", {}, ""),
        (SHELL % "--endpoint=https://store.test --region r other", ITS_KEYS, {}, "another bucket than b"),
        (ITS_UNIT.replace("{store}", "/matrix/s3-media-store"), ITS_KEYS, {}, "it elsewhere than at"),
        (SHELL % "--endpoint=https://other.test --region r b", ITS_KEYS, {}, "elsewhere than at https://store.test"),
        (SHELL % "--region r b", ITS_KEYS, {}, "elsewhere than at https://store.test"),
        (SHELL % "--region eu-west-2 b", ITS_KEYS, AWS, "another region than eu-west-1"),
        (SHELL % "--endpoint=https://store.test b", ITS_KEYS, {}, "another region than r"),
        (ITS_UNIT, ITS_KEYS.replace("=s", "=other"), {}, "another key"),
        (ITS_UNIT, ITS_KEYS.replace("=k", "=other"), {}, "another key"),
        (ITS_UNIT, ITS_KEYS + "AWS_SECRET_ACCESS_KEY=other\n", {}, "another key"),
        (ITS_UNIT, "", {}, "another key"),
        (ITS_UNIT.replace("EnvironmentFile={keys}\n", ""), ITS_KEYS, {}, "another key"),
        (ITS_UNIT.replace("{keys}", "-{keys}"), ITS_KEYS, {}, ""),
        (ITS_UNIT.replace("{keys}", "/nowhere"), ITS_KEYS, {}, "another key"),
    ],
)
def test_a_unit_that_mounts_something_else_does_not_take_over(server: Server, monkeypatch, text, keys, store, why):
    tell(server, **store)
    lay_playbooks_unit(server, text, keys)
    context = serving(server)
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match=why) if why else contextlib.nullcontext():
        handover.give_way(context)
    assert bool(called) == (not why)
    assert (MOUNT_UNIT in server.system.active) == bool(why)


def test_the_reason_never_tells_a_key(server: Server, monkeypatch):
    tell(server, secret_access_key="mine-very-secret")
    lay_playbooks_unit(server, keys="AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=theirs-very-secret\n")
    with pytest.raises(Problem) as caught:
        handover.give_way(serving(server))
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("fails", ["stop", "unmount", "run"])
def test_whatever_give_way_meets_ours_serves_again(server: Server, monkeypatch, fails):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)

    def fail(*_: Any, **__: Any) -> None:
        raise CommandFailed([fails], 1, "")

    monkeypatch.setattr(server.system, fails, fail)
    with pytest.raises(CommandFailed):
        handover.give_way(context)
    assert server.system.log[-2:] == [f"enable --quiet --no-reload {MOUNT_UNIT}", f"start {MOUNT_UNIT}"]
    assert MOUNT_UNIT in server.system.active and handover.serving_unit(server.context()) == MOUNT_UNIT


def test_lines_that_were_changed_to_another_bucket_bring_ours_back(server: Server):
    tell(server)
    lay_playbooks_unit(server, ITS_UNIT.replace(" b ", " other "))
    context = serving(server, PLAYBOOK_UNIT)
    with pytest.raises(Problem, match="another bucket"):
        handover.give_way(context)
    assert MOUNT_UNIT in server.system.active and handover.serving_unit(server.context()) == MOUNT_UNIT


def test_ours_is_not_started_over_the_playbooks_mount(server: Server):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server, PLAYBOOK_UNIT)
    with pytest.raises(Problem, match="start that one"):
        admission.check(server.places, context.settings, context.journal, server.store)
    admission.check(server.places, context.settings, context.journal, server.places.staging)


@pytest.mark.parametrize(("bucket", "unit"), [("b", PLAYBOOK_UNIT), ("other", MOUNT_UNIT)])
@pytest.mark.parametrize("gave_way_earlier", [True, False])
def test_a_cutover_lets_the_playbooks_unit_mount_where_it_mounts_the_same(
    server: Server, monkeypatch, bucket, unit, gave_way_earlier
):
    tell(server)
    lay_playbooks_unit(server, ITS_UNIT.replace(" b ", f" {bucket} "))
    if gave_way_earlier:
        server.places.gave_way.touch()
    monkeypatch.setattr(server.system, "_mount_units", lambda: [(unit, server.store)])
    converge.converge(server.context(), "live")
    assert unit in server.system.active
    assert handover.serving_unit(server.context()) == unit


def test_the_way_home_ends_the_playbooks_mount_too(server: Server):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server, PLAYBOOK_UNIT)
    server.system.others[PLAYBOOK_UNIT] = "active"
    recovery.bring_local_copy_home(context)
    assert f"stop {PLAYBOOK_UNIT}" in server.system.log
    assert server.store.stat().st_ino == context.journal.facts["store_inode"]


def test_at_boot_the_playbooks_unit_is_not_stopped_since_that_would_cancel_what_waits_for_it(server: Server):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server, PLAYBOOK_UNIT)
    server.system.others[PLAYBOOK_UNIT] = "inactive"
    recovery.bring_local_copy_home(context)
    assert not any(PLAYBOOK_UNIT in line for line in server.system.log)


def test_a_start_of_the_playbooks_mount_that_overtakes_the_way_home_is_undone(server: Server, monkeypatch):
    """It saw the bare mount point, and covers what lies there a moment later: the local store."""
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)
    real = recovery.rename

    def rename_and_cover(source, target):
        real(source, target)
        server.system.mounts.add(server.store)
        server.system.others[PLAYBOOK_UNIT] = "activating"

    monkeypatch.setattr(recovery, "rename", rename_and_cover)
    recovery.bring_local_copy_home(context)
    assert not server.system.layers(server.store)
    assert server.system.log[-1] == f"stop {PLAYBOOK_UNIT}"


def test_the_homeserver_does_not_start_over_a_covered_local_store(server: Server, monkeypatch):
    monkeypatch.setattr(server.system, "layers", lambda path: [COVER])
    assert "is not the local media store" in guard.reason_to_wait(server.context(), Journal(serving="local"))


def test_the_mount_is_taken_back_only_once_the_playbook_took_its_own_away(server: Server):
    tell(server)
    unit = lay_playbooks_unit(server)
    before = server.context()
    with pytest.raises(Problem, match="would mount the bucket over the local media store"):
        handover.check_gone(before)
    tell(server, "stack")
    with pytest.raises(Problem, match="out of vars.yml and run the playbook"):
        handover.check_change(before, server.context())
    unit.unlink()
    handover.check_change(before, server.context())
    handover.check_gone(before)
    server.places.gave_way.touch()
    mount.remove(server.context())
    assert not server.places.gave_way.exists(), "a unit that comes some day is no successor of ours"


@pytest.mark.parametrize(
    "change", [{"secret_access_key": "other"}, {"access_key_id": "other"}, {"region": "q"}, {"bucket": "other"}]
)
def test_what_the_playbooks_mount_uses_is_not_taken_away_while_it_serves(server: Server, change):
    tell(server)
    lay_playbooks_unit(server)
    before = serving(server, PLAYBOOK_UNIT)
    handover.check_change(before, server.context())
    tell(server, **change)
    with pytest.raises(Problem, match="would mount .* (key|region|bucket)"):
        handover.check_change(before, server.context())
    lay_playbooks_unit(server, keys="AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=theirs\n")
    handover.check_change(before, server.context())  # vars.yml is wrong already, which the settings may mend
    lay_playbooks_unit(server)
    # Where ours serves, or the local store, that unit is not let in with the earlier ones.
    server.places.gave_way.unlink()
    handover.check_change(before, server.context())
    with pytest.raises(Problem, match="mounts"):
        handover.give_way(server.context())


def test_settings_of_ours_are_tried_while_the_playbooks_mount_serves_and_nothing_is_mounted_anew(server, monkeypatch):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server, PLAYBOOK_UNIT)
    tried: list[bool] = []
    monkeypatch.setattr(preflight, "run", lambda context: None)
    monkeypatch.setattr(install, "install_packages", lambda context: None)
    monkeypatch.setattr(install, "_try", lambda context: tried.append(True))
    monkeypatch.setattr(mount, "read_files", lambda context: {})
    monkeypatch.setattr(mount, "install", lambda context: {server.places.credentials})
    install.install_mount(context, {"store": dataclasses.asdict(server.settings.store), "mount": {}})
    assert tried == [True] and server.context().journal.facts["remount"] is False


def test_an_unmount_ends_where_a_mount_stays_or_another_took_it_off(monkeypatch):
    class Stubborn(System):
        def layers(self, path: Path) -> list[str]:
            return ["it"] * layers.pop(0) if layers else ["it"]

    layers = [1, 0]
    Stubborn().unmount(Path("/nowhere"))
    assert layers == []
    with pytest.raises(CommandFailed, match="umount"):
        Stubborn().unmount(Path("/nowhere"))
