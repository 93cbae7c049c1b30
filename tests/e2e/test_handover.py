"""Runs of the playbook while the bucket serves: without its own mount of the bucket, and with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml

from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from sandbox import server

from .world import (
    STORE,
    Begin,
    Migration,
    on_disk,
    operate,
    run_playbook,
    server_processes,
    synapse_runs,
    synapse_started,
    wait_for,
)  # fmt: skip

#: What the playbook's mount runs, and ours does not.
ITS_GOOFYS = r"(^|/)goofys -f .*dir-mode 0700 --file-mode 0700"
UNITS = Path("/etc/systemd/system")


def lines_for_the_playbook(migration: Migration) -> dict[str, object]:
    """As `media-store playbook-vars` prints them, read as Ansible would."""
    done = operate(migration, "playbook-vars")
    assert done.returncode == 0 and "ansible-vault" in done.stderr, done.stderr
    return dict(yaml.safe_load(done.stdout))


def state(unit: str) -> str:
    return server.ssh(f"systemctl is-active {unit}", check=False).strip()


def served(migration: Migration) -> bool:
    return synapse_runs() and migration.differing() == []


def acknowledged(migration: Migration) -> bool:
    """Whether an upload was; while nothing serves it is refused."""
    try:
        migration.upload()
    except OSError:
        return False
    return True


@pytest.mark.nightly
def test_the_playbook_takes_the_mount_over_and_gives_it_back_and_nothing_is_lost(begin: Begin) -> None:
    migration = begin("handover", thin=40)
    migration.up("live")
    run_playbook()  # it knows nothing of the bucket
    wait_for(lambda: served(migration), seconds=60, every=0.5)
    migration.assert_serves_from_bucket()
    assert "6 unchanged" in migration.stack.must("up", "--yes", "--skip-preview")

    migration.stack.set("mount.managedBy", "playbook")
    migration.up("live")
    assert state(MOUNT_UNIT) == "active", "until the playbook has its lines, nothing changes"
    lines = lines_for_the_playbook(migration)
    assert lines == migration.playbook_lines()
    run_playbook(lines, services="start")
    wait_for(lambda: served(migration), seconds=60, every=0.5)
    migration.assert_serves_from_bucket()
    assert (state(PLAYBOOK_UNIT), state(MOUNT_UNIT)) == ("active", "inactive")
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256
    told = operate(migration, "status")
    assert told.returncode == 0 and "mounted by matrix-goofys.service" in told.stdout, told.stdout + told.stderr
    assert "6 unchanged" in migration.stack.must("up", "--yes", "--skip-preview")

    for number in server_processes(ITS_GOOFYS):
        os.kill(number, signal.SIGKILL)
    wait_for(lambda: acknowledged(migration), seconds=60, every=0.05)
    wait_for(lambda: served(migration), seconds=60, every=0.5)
    assert set(migration.objects()) >= {item.key for item in migration.media}
    server.kill()
    server.up(wait=False)
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    assert (state(PLAYBOOK_UNIT), state(MOUNT_UNIT)) == ("active", "inactive")
    assert list(on_disk(STORE).iterdir()) == [], "nothing was written beneath the mount"
    assert on_disk(STORE).stat().st_mode & 0o777 == 0, "nobody but root could"

    migration.stack.set("mount.managedBy", "stack")
    since = synapse_started()
    assert "services stood still for" in migration.up("live") and synapse_started() == since
    migration.assert_serves_from_bucket()
    assert state(MOUNT_UNIT) == "active"
    run_playbook(lines, services="start")  # whose lines are there still: it is skipped
    wait_for(lambda: served(migration), seconds=60, every=0.5)
    assert (state(PLAYBOOK_UNIT), state(MOUNT_UNIT)) == ("inactive", "active")
    run_playbook()  # without the lines
    wait_for(lambda: served(migration), seconds=60, every=0.5)
    migration.assert_serves_from_bucket()
    migration.up("prepare")
    migration.assert_serves_locally()


def test_the_playbooks_mount_never_covers_a_local_store_that_serves(begin: Begin) -> None:
    """Its lines are in vars.yml too early, and still there on the way home."""
    migration = begin("handover-early", thin=20)
    migration.stack.set("mount.managedBy", "playbook")
    migration.up("prepare")
    lines = migration.playbook_lines()
    run_playbook(lines)
    wait_for(synapse_runs, seconds=60, every=0.5)
    assert state(PLAYBOOK_UNIT) != "active"
    migration.assert_serves_locally()

    migration.up("live")
    migration.assert_serves_from_bucket()
    assert state(PLAYBOOK_UNIT) == "active"
    new = migration.upload()
    migration.up("mirror")
    migration.assert_serves_locally()
    run_playbook(lines)
    wait_for(synapse_runs, seconds=60, every=0.5)
    migration.assert_serves_locally()
    assert on_disk(STORE / new.key).exists()

    refused = migration.stack.call("destroy", "--yes", "--skip-preview")
    assert refused.status != 0 and "out of vars.yml and run the playbook" in refused.output, refused.output
    migration.assert_serves_locally()
    run_playbook()
    wait_for(synapse_runs, seconds=60, every=0.5)
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
