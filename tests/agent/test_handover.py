"""Whose mount serves, and what the playbook's may do."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from agent import handover, mount, preflight, recovery, services, watchdog
from agent.errors import Problem
from agent.places import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.settings import parse
from agent.watchdog import Act

from .conftest import Server

STORE = {"endpoint": "https://store.test", "region": "r", "bucket": "b", "access_key_id": "k", "secret_access_key": "s"}


def tell(server: Server, managed_by: str, secret: str = "s") -> None:
    server.settings = parse(
        {
            "host": {"media_store": str(server.store)},
            "store": {**STORE, "secret_access_key": secret},
            "mount": {"managed_by": managed_by},
        }
    )


def lay_playbooks_unit(server: Server) -> Path:
    unit = server.places.units / PLAYBOOK_UNIT
    unit.write_text(f"[Service]\nExecStart=goofys -f --endpoint=https://store.test --region r b {server.store}\n")
    return unit


@pytest.mark.parametrize(
    ("managed_by", "laid", "unit"),
    [
        ("stack", False, MOUNT_UNIT),
        ("stack", True, MOUNT_UNIT),
        ("playbook", False, MOUNT_UNIT),
        ("playbook", True, PLAYBOOK_UNIT),
    ],
)
def test_the_playbooks_unit_serves_only_where_that_was_agreed_and_it_is_there(server: Server, managed_by, laid, unit):
    tell(server, managed_by)
    if laid:
        lay_playbooks_unit(server)
    context = server.context()
    context.journal.serving = "bucket"
    assert handover.serving_unit(context) == unit
    assert mount.units_to_run(context)[0] == unit
    server.system.log.clear()
    watchdog.act(context, {Act.START_MOUNT})
    assert server.system.log == [f"--no-block start {unit}"]


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


def at_rest_in_the_bucket(server: Server) -> None:
    """The store's folder is a mount point now, and the local copy lies beside it."""
    os.rename(server.store, server.backup)
    mount.make_mount_point(server.store)


def run(server: Server, monkeypatch) -> list[list[str]]:
    called: list[list[str]] = []
    monkeypatch.setattr(server.system, "run", lambda argv, **_: called.append(argv) or "")
    return called


def test_the_playbooks_user_mounts_over_a_cover_that_takes_no_file(server: Server, monkeypatch):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    at_rest_in_the_bucket(server)
    context = server.context()
    context.journal.serving = "bucket"
    server.system.mounts.add(server.store)
    server.system.active.add(MOUNT_UNIT)
    called = run(server, monkeypatch)
    handover.give_way(context)
    (mounted,) = called
    assert mounted[:3] == ["mount", "-t", "tmpfs"] and mounted[-1] == str(server.store)
    assert "nr_inodes=1" in mounted[4] and f"uid={context.owner[0]}" in mounted[4]
    assert MOUNT_UNIT not in server.system.active and server.store not in server.system.mounts
    assert f"disable --quiet --no-reload {MOUNT_UNIT}" in server.system.log
    assert server.store.stat().st_mode & 0o777 == 0, "beneath the cover nothing opens"


@pytest.mark.parametrize("serving", ["local", "none", "bucket"])
@pytest.mark.parametrize("files", [True, False])
def test_over_a_local_store_nothing_is_mounted_whatever_the_journal_says(server: Server, monkeypatch, serving, files):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    if files:
        server.write("local_content/aa/bb/c", b"photo")
    context = server.context()
    context.journal.serving = serving
    context.journal.facts["store_inode"] = server.store.stat().st_ino
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        handover.give_way(context)
    assert called == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ExecStart=goofys -f --endpoint=https://store.test --region r b {store}", ""),
        ("ExecStart=docker run --mount type=bind,src={store},dst=/s3 image \\\n -c 'goofys -f --region r b /s3'", ""),
        ("ExecStart=goofys -f --endpoint=https://store.test --region r other {store}", "another bucket than b"),
        (
            "ExecStart=goofys -f --endpoint=https://store.test --region r b /matrix/s3-media-store",
            "it elsewhere than at",
        ),
        (
            "ExecStart=goofys -f --endpoint=https://other.test --region r b {store}",
            "elsewhere than at https://store.test",
        ),
    ],
)
def test_a_unit_that_mounts_something_else_does_not_take_over(server: Server, monkeypatch, text, why):
    tell(server, "playbook")
    lay_playbooks_unit(server).write_text(text.format(store=server.store))
    at_rest_in_the_bucket(server)
    context = server.context()
    context.journal.serving = "bucket"
    assert handover.serving_unit(context) == (MOUNT_UNIT if why else PLAYBOOK_UNIT)
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match=why) if why else contextlib.nullcontext():
        handover.give_way(context)
    assert bool(called) == (not why)


def test_ours_serves_until_the_playbooks_unit_was_started(server: Server):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    server.system.active.add(MOUNT_UNIT)
    assert handover.serving_unit(server.context()) == MOUNT_UNIT


def test_the_way_home_ends_the_playbooks_mount_too(server: Server):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    inode = server.store.stat().st_ino
    at_rest_in_the_bucket(server)
    context = server.context()
    context.journal.facts["store_inode"] = inode
    recovery.bring_local_copy_home(context)
    stopped = next(line for line in server.system.log if line.startswith("stop "))
    disabled = next(line for line in server.system.log if line.startswith("disable "))
    assert PLAYBOOK_UNIT in stopped and PLAYBOOK_UNIT in disabled
    assert server.store.stat().st_ino == inode


def test_the_mount_is_taken_back_only_once_the_playbook_took_its_own_away(server: Server):
    tell(server, "playbook")
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


def test_a_key_that_the_playbooks_mount_uses_is_not_taken_away(server: Server):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    before = server.context()
    before.journal.serving = "bucket"
    handover.check_change(before, server.context())
    tell(server, "playbook", secret="other")
    with pytest.raises(Problem, match="mounts the bucket with the earlier one"):
        handover.check_change(before, server.context())
    before.journal.serving = "local"
    handover.check_change(before, server.context())
