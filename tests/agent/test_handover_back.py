"""The way home from the playbook's mount, and back to ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent.host import mounts
from agent.host.beneath import Folder
from agent.host.mounts import COVER
from agent.host.system import System
from agent.migration import recovery
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.model.phases import Owed, Phase, Side, Stage, Window
from agent.serving import guard, mount, playbook
from agent.serving.writers import WRITERS
from agent.setup import mount as setup_mount
from agent.setup import preflight
from agent.state import local_copy
from agent.state.run import keep_settings

from .conftest import Machine
from .playbook import coming_home, lay_playbooks_unit, run, serving, tell


def test_the_way_home_ends_the_playbooks_mount_too(server: Machine) -> None:
    tell(server)
    lay_playbooks_unit(server)
    coming_home(server, PLAYBOOK_UNIT)
    server.system.others[PLAYBOOK_UNIT] = "active"
    recovery.bring_local_copy_home(server.run())
    assert f"stop {PLAYBOOK_UNIT}" in server.system.log
    assert local_copy.is_it(Folder.at(server.store), server.journal.local_store)


def test_at_boot_the_playbooks_unit_is_not_stopped_since_that_would_cancel_what_waits_for_it(server: Machine) -> None:
    tell(server)
    lay_playbooks_unit(server)
    coming_home(server, PLAYBOOK_UNIT)
    server.system.others[PLAYBOOK_UNIT] = "inactive"
    recovery.bring_local_copy_home(server.run())
    assert not any(PLAYBOOK_UNIT in line for line in server.system.log)


def test_a_start_of_the_playbooks_mount_that_overtakes_the_way_home_is_undone(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw the bare mount point, and covers what lies there a moment later: the local store."""
    tell(server)
    lay_playbooks_unit(server)
    coming_home(server)
    real = Folder.rename_entry

    def rename_and_cover(folder: Folder, name: str, new: str) -> None:
        real(folder, name, new)
        server.system.mounts.add(server.store)
        server.system.others[PLAYBOOK_UNIT] = "activating"

    monkeypatch.setattr(Folder, "rename_entry", rename_and_cover)
    recovery.bring_local_copy_home(server.run())
    assert not server.system.layers(server.store)
    assert server.system.log[-1] == f"stop {PLAYBOOK_UNIT}"


def test_the_homeserver_does_not_start_over_a_covered_local_store(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.system, "layers", lambda path: [COVER])
    assert "is not the local media store" in guard.reason_to_wait(server.agent, server.hold(Phase.MIRROR, Side.LOCAL))


def taken_back(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mount` with settings by which the stack mounts the bucket itself again, whose trial passes."""
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(setup_mount, "install_packages", lambda *_: None)
    monkeypatch.setattr(setup_mount, "_try", lambda run: None)
    monkeypatch.setattr(setup_mount, "lay_programs", lambda server: set())
    keep_settings(server.layout, {"mount": {"managed_by": "playbook"}})
    tell(server, "stack")
    setup_mount.install(server.run(), {"store": dataclasses.asdict(server.settings.store), "mount": {}})


@pytest.mark.parametrize("serves", [True, False])
def test_the_mount_is_taken_back_while_the_playbooks_unit_is_there_which_is_kept_off_from_then_on(
    server: Machine, monkeypatch: pytest.MonkeyPatch, serves: bool
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    if serves:
        serving(server, PLAYBOOK_UNIT)
    taken_back(server, monkeypatch)
    journal = server.journal
    assert (Owed.REMOUNT in journal.owed) is serves and server.layout.adopted.exists()
    text = server.layout.drop_in(PLAYBOOK_UNIT).read_text()
    assert f"ConditionPathExists=!{server.layout.adopted}" in text and "give-way" not in text
    if serves:
        mount.keep_running(server.agent, journal)
        assert MOUNT_UNIT not in server.system.active, "ours comes in the remount that is owed"


def test_on_a_server_that_nothing_was_done_to_yet_the_playbooks_unit_must_go_first(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(server)
    unit = lay_playbooks_unit(server)
    before = server.agent
    server.hold(Phase.LOCAL, Side.LOCAL)
    with pytest.raises(Problem, match="out of vars.yml and run the playbook"):
        taken_back(server, monkeypatch)
    unit.unlink()
    playbook.check_gone(before)
    taken_back(server, monkeypatch)
    server.layout.gave_way.touch()
    setup_mount.remove_files(server.agent)
    assert not server.layout.gave_way.exists(), "a unit that comes some day is no successor of ours"


@pytest.mark.parametrize(
    "change", [{"secret_access_key": "other"}, {"access_key_id": "other"}, {"region": "q"}, {"bucket": "other"}]
)
def test_what_the_playbooks_mount_uses_is_not_taken_away_while_it_serves(
    server: Machine, change: dict[str, str]
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server, PLAYBOOK_UNIT)
    before = server.agent
    playbook.check_change(before, server.agent, server.journal.serving)
    tell(server, **change)
    with pytest.raises(Problem, match="would mount .* (key|region|bucket)"):
        playbook.check_change(before, server.agent, server.journal.serving)
    lay_playbooks_unit(server, keys="AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=theirs\n")
    playbook.check_change(
        before, server.agent, server.journal.serving
    )  # vars.yml is wrong already, which the settings may mend
    lay_playbooks_unit(server)
    # Where ours serves, or the local store, that unit is not let in with the earlier ones.
    server.layout.gave_way.unlink()
    playbook.check_change(before, server.agent, server.journal.serving)
    with pytest.raises(Problem, match="mounts"):
        playbook.give_way(server.agent, server.journal.owner)


def test_settings_of_ours_are_tried_while_the_playbooks_mount_serves_and_nothing_is_mounted_anew(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server, PLAYBOOK_UNIT)
    tried: list[bool] = []
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(setup_mount, "install_packages", lambda *_: None)
    monkeypatch.setattr(setup_mount, "_try", lambda run: tried.append(True))
    monkeypatch.setattr(setup_mount, "lay_files", lambda *_: {server.layout.credentials})
    setup_mount.install(server.run(), {"store": dataclasses.asdict(server.settings.store), "mount": {}})
    assert tried == [True] and not server.journal.owed


def test_an_unmount_ends_where_a_mount_stays_or_another_took_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = mounts.Mount("0:99", "/", "/nowhere", "fuse", "bucket")
    told = [[bucket], []]
    monkeypatch.setattr(mounts, "_mounts_at", lambda path: told.pop(0) if told else [bucket])
    System().unmount(Path("/nowhere"))
    with pytest.raises(Problem, match="/nowhere stays mounted -- see findmnt /nowhere"):
        System().unmount(Path("/nowhere"))


def test_a_homeserver_that_was_started_in_the_window_is_started_again_once_the_media_are_home(server: Machine) -> None:
    """To stop the playbook's mount ends it."""
    tell(server)
    lay_playbooks_unit(server)
    coming_home(server, PLAYBOOK_UNIT)
    server.system.others = {PLAYBOOK_UNIT: "active", "matrix-synapse.service": "activating"}
    server.system.waiting = {"matrix-synapse-worker-1.service"}
    recovery.bring_local_copy_home(server.run())
    assert server.journal.units == ("matrix-synapse-worker-1.service", "matrix-synapse.service")


def test_units_with_a_start_to_come_are_told_by_systemds_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = (
        "318 matrix-synapse-worker-1.service start waiting\n"
        "317 matrix-synapse.service          start waiting\n"
        "310 matrix-goofys.service           stop  running\n"
        "311 other.service                   start waiting\n"
    )
    monkeypatch.setattr(System, "run", lambda self, argv: jobs)
    assert System().queued(WRITERS) == {"matrix-synapse.service", "matrix-synapse-worker-1.service"}
    monkeypatch.setattr(System, "run", lambda self, argv: "")
    assert System().queued(WRITERS) == set()


@pytest.mark.parametrize(
    ("name", "stage"),
    [(Window.RESTORE, Stage.DELTA), (Window.RESTORE, Stage.SWAPPING), (Window.CUTOVER, Stage.UNDOING)],
)
def test_on_the_way_home_it_does_not_come_up(
    server: Machine, monkeypatch: pytest.MonkeyPatch, name: Window, stage: Stage
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server)
    server.hold(serving=Side.NOBODY, window=(name, stage))
    called = run(server, monkeypatch)
    with pytest.raises(Problem, match="is the local media store"):
        playbook.give_way(server.agent, server.journal.owner)
    assert called == [] and MOUNT_UNIT in server.system.active
