"""Whose mount serves, and what the playbook's may do."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from agent import admission, handover, mount, preflight, recovery, services, watchdog
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
    unit.write_text("[Service]\n")
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
    assert "Conflicts=matrix-media-store.service\n" in text and "ExecCondition=+" in text
    tell(server, "stack")
    assert drop_in not in services.guard_files(server.context())


@pytest.mark.parametrize(("version", "old"), [("systemd 252 (252.39-1~deb12u1)\n+PAM", False), ("systemd 239\n", True)])
def test_a_systemd_that_knows_no_conditions_is_refused(server: Server, monkeypatch, version, old):
    monkeypatch.setattr(server.system, "run", lambda argv: version)
    with pytest.raises(Problem, match="too old") if old else contextlib.nullcontext():
        preflight.check_conditions(server.context())


def test_over_a_local_store_that_serves_nothing_is_mounted(server: Server):
    context = server.context()
    with pytest.raises(Problem, match="it serves"):
        admission.check(context.settings, context.journal, server.store)


def test_the_folder_beneath_is_open_to_its_owner_only_while_the_playbook_mounts(server: Server):
    tell(server, "playbook")
    server.store.rmdir()
    mount.make_mount_point(server.store)
    context = server.context()
    context.journal.serving = "bucket"
    handover.give_way(context)
    assert server.store.stat().st_mode & 0o777 == 0o700
    assert f"disable --quiet --no-reload {MOUNT_UNIT}" in server.system.log
    handover.shut(context)
    assert server.store.stat().st_mode & 0o777 == 0


@pytest.mark.parametrize("serving", ["local", "none"])
def test_a_media_store_with_files_in_it_stays_as_it_is(server: Server, serving):
    tell(server, "playbook")
    server.write("local_content/aa/bb/c", b"photo")
    server.store.chmod(0o750)
    context = server.context()
    context.journal.serving = serving
    handover.shut(context)
    handover.give_way(context)
    assert server.store.stat().st_mode & 0o777 == 0o750


def test_the_way_home_ends_the_playbooks_mount_too(server: Server):
    tell(server, "playbook")
    lay_playbooks_unit(server)
    inode = server.store.stat().st_ino
    os.rename(server.store, server.backup)
    mount.make_mount_point(server.store)
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
