"""Whose mount serves, and what the playbook's may do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import pytest

from agent.model.errors import CommandFailed, Problem
from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT, STAGING_UNIT
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import admission, mount, playbook, units, watchdog
from agent.serving.watchdog import Act
from agent.setup import preflight
from agent.state.records import Owner

from .conftest import Machine, NewServer
from .fakes import PowerLoss
from .playbook import AWS, DOCKER, ITS_KEYS, ITS_UNIT, lay_playbooks_unit, run, serving, tell


def give_way(server: Machine) -> Owner:
    """Ours gives way; returns to whom the media store belongs."""
    owner = server.journal.owner
    playbook.give_way(server.agent, owner)
    return owner


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
    server: Machine, managed_by: str, laid: bool, gave_way: bool, unit: Any
) -> None:
    tell(server, managed_by)
    if laid:
        lay_playbooks_unit(server)
    if gave_way:
        server.layout.gave_way.touch()
    journal = server.hold(serving=Side.BUCKET)
    assert playbook.serving_unit(server.agent) == unit
    assert mount.units_to_run(server.agent, Side.BUCKET)[0] == unit
    server.system.log.clear()
    watchdog.act(server.agent, journal, {Act.START_MOUNT})
    enabled, started = server.system.log
    assert enabled.startswith("enable ") and unit in enabled, "it comes up at the next boot too"
    assert started.startswith(f"start {unit} ")


def test_the_drop_in_for_the_playbooks_mount_is_there_only_where_it_was_agreed(server: Machine) -> None:
    drop_in = server.layout.drop_in(PLAYBOOK_UNIT)
    tell(server, "playbook")
    text = units.guard_files(server.agent, server.journal)[drop_in].decode()
    assert "ExecCondition=+/bin/sh -c '/usr/bin/python3 " in text and "ExecStartPost=\n" in text
    tell(server, "stack")
    assert drop_in not in units.guard_files(server.agent, server.journal)


@pytest.mark.parametrize(
    ("version", "old"), [("systemd 252 (252.39-1~deb12u1)\n+PAM", False), ("systemd 247 (247.3-7)\n", True)]
)
def test_a_systemd_that_knows_no_conditions_is_refused(
    server: Machine, monkeypatch: pytest.MonkeyPatch, version: str, old: bool
) -> None:
    monkeypatch.setattr(server.system, "run", lambda argv: version)
    with pytest.raises(Problem, match="too old") if old else contextlib.nullcontext():
        preflight.check_conditions(server.system)


def test_the_playbooks_user_mounts_over_a_cover_that_takes_no_file(server: Machine) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server)
    owner = give_way(server)
    ((place, options),) = server.system.covers
    assert place == server.store and "nr_inodes=1" in options and f"uid={owner.uid}" in options
    assert MOUNT_UNIT not in server.system.active and server.store not in server.system.mounts
    assert f"disable --quiet --no-reload {MOUNT_UNIT}" in server.system.log
    assert server.store.stat().st_mode & 0o777 == 0, "beneath the cover nothing opens"
    assert playbook.serving_unit(server.agent) == PLAYBOOK_UNIT


def test_a_power_loss_while_ours_gives_way_leaves_one_of_them_to_serve(new_server: NewServer) -> None:
    """At each moment: a unit that serves, and that one may come up at the next boot."""
    reached = 0
    for left in range(100):
        server = new_server()
        tell(server)
        lay_playbooks_unit(server)
        serving(server)
        server.power.used, server.power.left = 0, left
        try:
            give_way(server)
        except PowerLoss:
            reached += 1
        else:
            break
        server.reboot()
        ours_disabled = any(line.startswith("disable") for line in server.system.log)
        if playbook.serving_unit(server.agent) == MOUNT_UNIT:
            assert not ours_disabled
            admission.check(server.system, server.settings, server.journal, server.store)
        else:
            give_way(server)
    assert reached >= 4


@pytest.mark.parametrize("who", list(Side))
@pytest.mark.parametrize("files", [True, False])
def test_over_a_local_store_nothing_is_mounted_whatever_the_journal_says(
    server: Machine, monkeypatch: pytest.MonkeyPatch, who: Side, files: bool
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    if files:
        server.write("local_content/aa/bb/c", b"photo")
    window = (Window.RESTORE, Stage.SWAPPING) if who is Side.NOBODY else None
    server.hold(serving=who, window=window, inode=server.store.stat().st_ino)
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        give_way(server)
    assert called == []


def test_a_store_that_came_home_while_ours_was_stopped_is_not_covered(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server)
    called = run(server, monkeypatch)
    stop = server.system.stop

    def stop_and_come_home(units: Sequence[str], timeout: float = 0) -> None:
        stop(units, timeout)
        server.store.rmdir()
        os.rename(server.backup, server.store)
        server.hold(Phase.MIRROR, Side.LOCAL)

    monkeypatch.setattr(server.system, "stop", stop_and_come_home)
    with pytest.raises(Problem, match="is the local media store"):
        give_way(server)
    assert called == []
    assert not any(line.startswith("start") for line in server.system.log), "ours must not cover it either"


@pytest.mark.parametrize(
    ("text", "keys", "store", "why"),
    [
        (ITS_UNIT, ITS_KEYS, {}, ""),
        (DOCKER % "--endpoint=https://store.test --region r b", ITS_KEYS, {}, ""),
        (DOCKER % "--storage-class=STANDARD_IA --region eu-west-1 b", ITS_KEYS, AWS, ""),
        (DOCKER % "--endpoint=https://s3.eu-west-1.amazonaws.com --region eu-west-1 b", ITS_KEYS, AWS, ""),
        (ITS_UNIT, "AWS_ACCESS_KEY_ID=k\nAWS_SECRET_ACCESS_KEY=s\n", {}, ""),
        (DOCKER % "--endpoint=https://store.test --region r other", ITS_KEYS, {}, "another bucket than b"),
        (
            DOCKER % "--endpoint=https://store.test --region r other",
            ITS_KEYS,
            {"bucket": "docker"},
            "another bucket",
        ),
        (
            DOCKER.replace("{store}", "/other") % "--endpoint=https://store.test --region r b",
            ITS_KEYS,
            {},
            "it elsewhere than at",
        ),
        (
            DOCKER % "--endpoint=https://other.test --region r b",
            ITS_KEYS,
            {},
            "elsewhere than at https://store.test",
        ),
        (DOCKER % "--region r b", ITS_KEYS, {}, "elsewhere than at https://store.test"),
        (DOCKER % "--region eu-west-2 b", ITS_KEYS, AWS, "another region than eu-west-1"),
        (DOCKER % "--endpoint=https://store.test b", ITS_KEYS, {}, "another region than r"),
        (ITS_UNIT, ITS_KEYS.replace("=s", "=other"), {}, "another key"),
        (ITS_UNIT, ITS_KEYS.replace("=k", "=other"), {}, "another key"),
        (ITS_UNIT, ITS_KEYS + "AWS_SECRET_ACCESS_KEY=other\n", {}, "another key"),
        (ITS_UNIT, "", {}, "another key"),
        (ITS_UNIT.replace("EnvironmentFile={keys}\n", ""), ITS_KEYS, {}, "another key"),
        (ITS_UNIT.replace("{keys}", "-{keys}"), ITS_KEYS, {}, ""),
        (ITS_UNIT.replace("{keys}", "/nowhere"), ITS_KEYS, {}, "another key"),
    ],
)
def test_a_unit_that_mounts_something_else_does_not_take_over(
    server: Machine, text: str, keys: str, store: dict[str, str], why: str
) -> None:
    tell(server, **store)
    lay_playbooks_unit(server, text, keys)
    serving(server)
    with pytest.raises(Problem, match=why) if why else contextlib.nullcontext():
        give_way(server)
    assert bool(server.system.covers) == (not why)
    assert (MOUNT_UNIT in server.system.active) == bool(why)


def test_the_reason_never_tells_a_key(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(server, secret_access_key="mine-very-secret")
    lay_playbooks_unit(server, keys="AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=theirs-very-secret\n")
    with pytest.raises(Problem) as caught:
        serving(server)
        give_way(server)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("fails", ["stop", "unmount", "cover"])
def test_whatever_give_way_meets_ours_serves_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server)

    def fail(*_: Any, **__: Any) -> None:
        raise CommandFailed([fails], 1, "")

    monkeypatch.setattr(server.system, fails, fail)
    with pytest.raises(CommandFailed):
        give_way(server)
    assert server.system.log[-2:] == [f"enable --quiet --no-reload {MOUNT_UNIT}", f"start {MOUNT_UNIT}"]
    assert MOUNT_UNIT in server.system.active and playbook.serving_unit(server.agent) == MOUNT_UNIT


def test_lines_that_were_changed_to_another_bucket_bring_ours_back(server: Machine) -> None:
    tell(server)
    lay_playbooks_unit(server, ITS_UNIT.replace(" b ", " other "))
    serving(server, PLAYBOOK_UNIT)
    with pytest.raises(Problem, match="another bucket"):
        give_way(server)
    assert MOUNT_UNIT in server.system.active and playbook.serving_unit(server.agent) == MOUNT_UNIT


def test_ours_is_not_started_over_the_playbooks_mount(server: Machine) -> None:
    """By systemd itself: were it refused later, what ends after a refusal would take the other's mount away."""
    tell(server)
    condition = f"ConditionPathExists=!{server.layout.gave_way}\n".encode()
    files = units.unit_files(server.agent, server.journal.owner)
    assert condition in files[MOUNT_UNIT].partition(b"[Service]")[0]
    assert condition not in files[STAGING_UNIT], "new settings are tried there beside it"


def test_the_file_of_an_earlier_time_does_not_keep_ours_from_starting(server: Machine) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server, PLAYBOOK_UNIT)
    mount.bring_up(server.agent)
    assert server.layout.gave_way.exists()
    (server.layout.units / PLAYBOOK_UNIT).unlink()  # as the playbook does
    mount.bring_up(server.agent)
    assert not server.layout.gave_way.exists() and MOUNT_UNIT in server.system.active


def test_where_it_is_not_agreed_any_more_a_drop_in_that_was_left_lets_nothing_in(server: Machine) -> None:
    tell(server, "stack")
    lay_playbooks_unit(server)
    serving(server)
    with pytest.raises(Problem, match="mount.managedBy is stack"):
        give_way(server)
    assert MOUNT_UNIT in server.system.active and not server.layout.gave_way.exists()
