"""The way home from the playbook's mount, and back to ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent import guard, handover, install, mount, preflight, recovery, services
from agent.errors import Problem
from agent.journal import Journal, Step
from agent.places import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.system import COVER, CommandFailed, System

from .conftest import Server
from .playbook import coming_home, lay_playbooks_unit, run, serving, tell


def test_the_way_home_ends_the_playbooks_mount_too(server: Server):
    tell(server)
    lay_playbooks_unit(server)
    context = coming_home(serving(server, PLAYBOOK_UNIT))
    server.system.others[PLAYBOOK_UNIT] = "active"
    recovery.bring_local_copy_home(context)
    assert f"stop {PLAYBOOK_UNIT}" in server.system.log
    assert server.store.stat().st_ino == context.journal.facts["store_inode"]


def test_at_boot_the_playbooks_unit_is_not_stopped_since_that_would_cancel_what_waits_for_it(server: Server):
    tell(server)
    lay_playbooks_unit(server)
    context = coming_home(serving(server, PLAYBOOK_UNIT))
    server.system.others[PLAYBOOK_UNIT] = "inactive"
    recovery.bring_local_copy_home(context)
    assert not any(PLAYBOOK_UNIT in line for line in server.system.log)


def test_a_start_of_the_playbooks_mount_that_overtakes_the_way_home_is_undone(server: Server, monkeypatch):
    """It saw the bare mount point, and covers what lies there a moment later: the local store."""
    tell(server)
    lay_playbooks_unit(server)
    context = coming_home(serving(server))
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


def test_a_homeserver_that_was_started_in_the_window_is_started_again_once_the_media_are_home(server: Server):
    """To stop the playbook's mount ends it."""
    tell(server)
    lay_playbooks_unit(server)
    context = coming_home(serving(server, PLAYBOOK_UNIT))
    server.system.others = {PLAYBOOK_UNIT: "active", "matrix-synapse.service": "activating"}
    server.system.waiting = {"matrix-synapse-worker-1.service"}
    recovery.bring_local_copy_home(context)
    step = Journal.load(server.places).step
    assert step and step.units == ["matrix-synapse-worker-1.service", "matrix-synapse.service"]


def test_units_with_a_start_to_come_are_told_by_systemds_jobs(monkeypatch):
    jobs = (
        "318 matrix-synapse-worker-1.service start waiting\n"
        "317 matrix-synapse.service          start waiting\n"
        "310 matrix-goofys.service           stop  running\n"
        "311 other.service                   start waiting\n"
    )
    monkeypatch.setattr(System, "run", lambda self, argv: jobs)
    assert System().queued(services.WRITERS) == {"matrix-synapse.service", "matrix-synapse-worker-1.service"}
    monkeypatch.setattr(System, "run", lambda self, argv: "")
    assert System().queued(services.WRITERS) == set()


@pytest.mark.parametrize(("name", "stage"), [("restore", "delta"), ("restore", "swapping"), ("cutover", "undoing")])
def test_on_the_way_home_it_does_not_come_up(server: Server, monkeypatch, name, stage):
    tell(server)
    lay_playbooks_unit(server)
    context = serving(server)
    context.journal.serving, context.journal.step = "none", Step(name, stage, [])
    context.save()
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        handover.give_way(context)
    assert called == [] and MOUNT_UNIT in server.system.active
