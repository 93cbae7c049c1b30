"""What is killed, fails or vanishes in the middle: nothing is lost, and the next `pulumi up` completes."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from sandbox import server, store, synapse

from .world import (
    BACKUP,
    STORE,
    Begin,
    Migration,
    journal,
    on_disk,
    server_processes,
    settled,
    stage,
    stopped,
    synapse_runs,
    synapse_started,
    wait_for,
)


def kill_pulumi_during(migration: Migration, phase: str, at: str) -> None:
    """`pulumi up` to `phase`, killed with all its plugins as soon as the server is at that stage."""
    migration.stack.set("phase", phase)
    process = migration.stack.popen(
        "up", "--yes", "--skip-preview", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(lambda: stage().startswith(at))
    migration.stack.kill(process)
    wait_for(settled, every=0.2)


def test_pulumi_killed_during_the_cutover_of_a_first_up_leaves_a_server_that_finishes_by_itself(begin: Begin) -> None:
    migration = begin("killed")
    kill_pulumi_during(migration, "live", "cutover")
    assert journal()["phase"] == "live", "the server finished by itself"
    migration.assert_serves_from_bucket()
    since, generation = synapse_started(), journal()["generation"]

    locked = migration.stack.call("up", "--yes", "--skip-preview")
    assert locked.status != 0 and "pulumi cancel" in locked.output, "the engine's lock names its remedy"
    migration.stack.must("cancel", "--yes")
    output = migration.up("live")
    assert "already" in output
    assert (synapse_started(), journal()["generation"]) == (since, generation), "nothing changed on the server"
    assert "unchanged" in migration.up("live")

    new = migration.upload()
    migration.up("prepare")
    migration.assert_serves_locally()
    assert new.key in synapse.tree()


@pytest.mark.nightly
def test_back_home_after_a_killed_up_although_the_state_never_saw_it_live(begin: Begin) -> None:
    migration = begin("unseen")
    migration.up("mirror")
    kill_pulumi_during(migration, "live", "cutover")
    migration.assert_serves_from_bucket()
    new = migration.upload()
    migration.stack.must("cancel", "--yes")
    migration.up("prepare")
    migration.assert_serves_locally()
    assert new.key in synapse.tree()


@pytest.mark.nightly
def test_destroy_after_a_first_up_that_was_killed_brings_the_store_home(begin: Begin) -> None:
    migration = begin("destroyed")
    kill_pulumi_during(migration, "live", "cutover")
    new = migration.upload()
    migration.stack.must("cancel", "--yes")
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert new.key in synapse.tree()
    assert not on_disk(BACKUP).exists()


def test_synapse_waits_for_the_mount_and_comes_up_by_itself_once_the_store_is_back(begin: Begin) -> None:
    migration = begin("guard")
    migration.up("live")
    store.down()
    try:
        server.kill()
        server.up(wait=False)
        wait_for(lambda: "waiting: the bucket does not serve" in server.ssh(
            "journalctl -b -u matrix-synapse --no-pager", check=False), seconds=90, every=1)  # fmt: skip
        assert not synapse_runs()
        assert list(on_disk(STORE).iterdir()) == [], "nothing was written beneath the mount"
        assert on_disk(STORE).stat().st_mode & 0o777 == 0, "nobody but root could"
    finally:
        store.up()
    wait_for(synapse_runs, seconds=90, every=0.5)
    migration.assert_serves_from_bucket()
    assert list(on_disk(STORE).iterdir()) == []


def test_a_killed_mount_comes_back_into_the_running_homeserver(begin: Begin) -> None:
    migration = begin("mount-killed")
    migration.up("live")
    since = synapse_started()
    for number in server_processes(r"matrix-media-store/goofys"):
        os.kill(number, signal.SIGKILL)
    wait_for(lambda: migration.differing() == [], seconds=60, every=0.5)
    assert synapse_started() == since
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256


def test_a_failed_proof_goes_back_to_the_local_store(begin: Begin) -> None:
    migration = begin("unproven")
    migration.stack.set_secret("host.accessToken", "syt_not_a_token")
    result = migration.try_up("live")
    assert result.status != 0
    assert "the proof failed, and the local store serves again" in result.output
    assert "check host.accessToken" in result.output
    assert journal()["phase"] == "mirror"
    migration.assert_serves_locally()
    migration.stack.set_secret("host.accessToken", migration.token)
    migration.up("live")
    migration.assert_serves_from_bucket()


@pytest.mark.nightly
def test_mount_settings_that_change_while_live_come_into_use_in_a_short_window(begin: Begin) -> None:
    migration = begin("remount")
    migration.stack.set("cutover.method", "restart")
    migration.up("live")
    old = server_processes(r"lib/matrix-media-store/goofys")
    migration.stack.set("mount.memoryMax", "900M")
    output = migration.up("live")
    assert f"remount: stopping {stopped()}" in output
    new = server_processes(r"lib/matrix-media-store/goofys")
    assert new and not set(new) & set(old)
    assert "MemoryMax=943718400" in server.ssh("systemctl show --property=MemoryMax matrix-media-store")
    migration.assert_serves_from_bucket()
