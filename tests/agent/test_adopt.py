"""A mount that serves already is taken over: by a hold, or with services stopped, and whatever interrupts it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.beneath import Folder
from agent.migration import converge, edges, empty_bucket, evidence, recovery
from agent.model.errors import CommandFailed, Problem
from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.model.phases import Owed, Phase, Side
from agent.serving import admission, earlier_checks, earlier_mount, guard, mount_point, units
from agent.serving.earlier_mount import EarlierMount
from agent.setup import install
from agent.state.journal import Journal
from agent.state.records import Owner

from .conftest import Machine, NewServer
from .fakes import SYNAPSE
from .holding import CONTAINER, boot, recovered, stopped, struck
from .moves import FILES, fill, go


@contextlib.contextmanager
def covered(path: Path) -> Iterator[Folder]:
    """On a pretended server, nothing really lies over the folder."""
    with Folder.at(path) as folder:
        yield folder


@pytest.fixture(autouse=True)
def earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The playbook's mount is there, and writes to the bucket."""
    found = EarlierMount(PLAYBOOK_UNIT, "fuse", Owner(os.getuid(), os.getgid()))
    monkeypatch.setattr(mount_point, "covered", covered)
    monkeypatch.setattr(earlier_mount, "find", lambda server: found)
    monkeypatch.setattr(earlier_checks, "check", lambda server: found)
    monkeypatch.setattr(earlier_checks, "check_writes", lambda *_: None)


def served_by_another(server: Machine) -> Machine:
    """The playbook's mount serves since long; of this program only agent and mount were laid."""
    system = server.system
    system.freezable, system.mounting = True, server.layout.mounting
    system.mounts_beside = lambda: server.journal.mounts_beside()
    for folder in (server.layout.mounting, server.layout.held.parent):
        folder.mkdir(parents=True)
    server.bucket.objects = dict(FILES)
    server.tell(host={"adopt_mount": True})
    server.hold(Phase.LOCAL, Side.LOCAL)
    theirs(server)
    system.log.clear()
    return server


def theirs(server: Machine) -> None:
    """The playbook's unit was started."""
    server.system.active.add(PLAYBOOK_UNIT)
    server.system.mounts.add(server.store)
    server.system.origin[server.store] = PLAYBOOK_UNIT


def adopt(server: Machine) -> None:
    go(server, "clean")


def adopted(server: Machine) -> bool:
    """Whether our mount serves, and the earlier one is kept off for good."""
    journal = server.journal
    return (
        journal.settled(Phase.CLEAN)
        and journal.serving is Side.BUCKET
        and server.layout.adopted.exists()
        and server.system.origin[server.store] == MOUNT_UNIT
        and server.store in server.system.mounts
        and server.store.stat().st_mode & 0o777 == 0
    )


def test_our_mount_takes_the_place_of_the_earlier_one_while_services_stand_still(server: Machine) -> None:
    served_by_another(server)
    system, seen = server.system, []
    system.seen = [CONTAINER]
    system.on_freeze = lambda: seen.append(system.origin[server.store])
    adopt(server)
    assert seen == [PLAYBOOK_UNIT] and adopted(server)
    assert not stopped(server) and not system.frozen_groups and not server.layout.held.exists()
    assert f"stop {PLAYBOOK_UNIT}" not in system.log, "what requires it would be stopped too"
    text = server.layout.drop_in(PLAYBOOK_UNIT).read_text()
    assert f"ConditionPathExists=!{server.layout.adopted}" in text and "Restart=no" in text and "ExecStop=\n" in text
    assert any("4 files" in line and PLAYBOOK_UNIT in line for line in server.said)


def test_with_restart_services_are_stopped_and_never_run_over_a_bare_folder(server: Machine) -> None:
    served_by_another(server)
    server.tell(cutover={"method": "restart"})
    system = server.system
    adopt(server)
    assert adopted(server) and stopped(server) and SYNAPSE in system.active
    assert not system.frozen_groups


def test_whoever_does_not_see_our_mount_is_stopped_and_started_over_it(server: Machine) -> None:
    served_by_another(server)
    server.system.seen = server.system.unseeing = [CONTAINER]
    adopt(server)
    assert adopted(server) and stopped(server) and SYNAPSE in server.system.active


def test_a_mount_of_ours_that_does_not_come_up_leaves_the_earlier_one_as_it_was(server: Machine) -> None:
    served_by_another(server)
    real = server.system.start

    def start(units: list[str], **options: object) -> None:
        if MOUNT_UNIT in units:
            raise CommandFailed(["systemctl", "start"], 1, "no")
        real(units)

    server.system.start = start  # type: ignore[method-assign, assignment]
    with pytest.raises((CommandFailed, Problem)):
        adopt(server)
    journal = server.journal
    assert (journal.phase, journal.serving, journal.window, journal.earlier_unit) == ("local", "local", None, "")
    assert server.system.origin[server.store] == PLAYBOOK_UNIT and server.store in server.system.mounts
    assert not server.layout.drop_in(PLAYBOOK_UNIT).exists() and not server.layout.adopted.exists()
    assert SYNAPSE in server.system.active and server.store.stat().st_mode & 0o777 != 0


def test_a_proof_that_fails_leaves_our_mount_serving_and_is_made_up_by_the_next_run(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by_another(server)

    def fails(*_: object) -> None:
        raise Problem("no probe", "look")

    with monkeypatch.context() as patched:
        patched.setattr("agent.serving.proof.prove", fails)
        with pytest.raises(Problem, match="serves by this program's mount, and that is not proven: no probe"):
            adopt(server)
    assert server.journal.phase is Phase.CLEAN and Owed.PROOF in server.journal.owed
    assert [edge.does.__name__ for edge in edges.way(server.journal, Phase.CLEAN)] == ["prove"]
    adopt(server)
    assert adopted(server)


def test_where_power_is_lost_or_the_agent_killed_one_mount_serves_and_the_next_run_ends_with_ours(
    new_server: NewServer,
) -> None:
    committed = set()
    for _, server in struck(new_server, served_by_another, adopt):
        was = server.journal.phase is Phase.CLEAN
        server.system.mounts.discard(server.store)
        boot(server)
        if not server.layout.adopted.exists():
            assert server.journal.phase is Phase.LOCAL and server.journal.serving is Side.LOCAL
            theirs(server)  # its own unit mounts at boot
        assert server.layout.adopted.exists() is was
        assert not guard.reason_to_wait(server.agent, server.journal) or was
        committed.add(was)
        adopt(server)
        assert adopted(server)
    assert committed == {True, False}
    for _, server in struck(new_server, served_by_another, adopt):
        was = server.journal.phase is Phase.CLEAN
        recovered(server)
        assert not server.system.frozen_groups and server.journal.window is None and SYNAPSE in server.system.active
        assert server.store in server.system.mounts and (server.system.origin[server.store] == MOUNT_UNIT) is was
        adopt(server)
        assert adopted(server)


def test_the_homeserver_waits_for_the_earlier_mount_and_our_unit_never_ends_it_before(server: Machine) -> None:
    served_by_another(server)
    assert guard.reason_to_wait(server.agent, server.journal) == ""
    admission.clear(server.system, server.journal, server.store)
    assert server.store in server.system.mounts
    server.system.mounts.discard(server.store)
    assert "nothing is mounted" in guard.reason_to_wait(server.agent, server.journal)


def test_after_the_way_home_nothing_is_to_be_taken_over_and_the_agent_stays_while_the_unit_is_there(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by_another(server)
    adopt(server)
    go(server, "local")
    assert server.tree() == FILES and not earlier_mount.is_due(server.agent, server.journal)
    assert guard.reason_to_wait(server.agent, server.journal) == ""
    monkeypatch.setattr(earlier_mount, "_file_of", lambda server, unit: "/etc/systemd/system/x")
    with pytest.raises(Problem, match="would mount the bucket over the local media store -- take the matrix_s3"):
        install.uninstall(server.run(), everything=True)
    monkeypatch.setattr(earlier_mount, "_file_of", lambda server, unit: "")
    install.uninstall(server.run(), everything=True)
    assert not server.layout.var.exists() and not server.layout.drop_in(PLAYBOOK_UNIT).exists()


def test_only_clean_is_reached_first_and_it_is_never_too_soon(server: Machine) -> None:
    served_by_another(server)
    server.tell(migration={"clean_at_once": False})
    with pytest.raises(Problem, match="leads to phase clean and no other -- set phase to clean"):
        go(server, "live")
    (step,) = converge.plan(server.agent, server.journal, Phase.CLEAN)
    assert step.startswith("local -> clean: ") and f"{PLAYBOOK_UNIT} (fuse)" in step
    assert converge.plan(server.agent, server.journal, Phase.LOCAL) == []
    adopt(server)
    assert adopted(server)


def test_files_beneath_the_earlier_mount_are_never_hidden_for_good(server: Machine) -> None:
    served_by_another(server)
    (server.store / "forgotten").write_bytes(b"x")
    with pytest.raises(Problem, match="files lie beneath"):
        adopt(server)
    assert server.system.origin[server.store] == PLAYBOOK_UNIT and server.journal.phase is Phase.LOCAL
    assert SYNAPSE in server.system.active and not server.system.frozen_groups
    assert (server.store / "forgotten").read_bytes() == b"x"


def test_a_server_that_was_moved_by_this_program_has_no_mount_to_be_taken_over(server: Machine) -> None:
    """The setting stands in the stack of a server with a local store, which came home: the homeserver starts."""
    server.hold(Phase.LOCAL, Side.LOCAL)
    fill(server)
    server.tell(host={"adopt_mount": True})
    assert guard.reason_to_wait(server.agent, server.journal) == "", "an administrator brought the media home by hand"
    journal = server.journal
    journal.generation = 3
    assert not earlier_mount.is_due(server.agent, journal)


def test_nothing_is_emptied_while_the_store_may_be_the_bucket_itself(server: Machine) -> None:
    served_by_another(server)
    with pytest.raises(Problem, match="the media store may be the bucket itself"):
        empty_bucket.empty(server.run())
    assert server.bucket.objects == FILES


# The journal is lost, or older than the truth


def lost(server: Machine) -> Journal:
    """What is made up of what lies there, and a run that recovers."""
    server.layout.settings.parent.mkdir(exist_ok=True, parents=True)
    server.layout.settings.write_text("{}")
    server.layout.journal.unlink()
    journal = evidence.journal_of(server.agent)
    recovery.recover(server.run(journal))
    return journal


@pytest.mark.parametrize("is_mounted", [True, False])
def test_a_journal_that_is_lost_before_the_adoption_leaves_the_earlier_mount_alone(
    server: Machine, is_mounted: bool
) -> None:
    served_by_another(server)
    server.journal.save()  # which notes the local store beside the settings
    if not is_mounted:  # it comes later in the boot
        server.system.mounts.discard(server.store)
    journal = lost(server)
    assert (journal.phase, journal.serving) == ("local", "local")
    assert (server.store in server.system.mounts) is is_mounted
    assert bool(guard.reason_to_wait(server.agent, server.journal)) is not is_mounted
    theirs(server)
    adopt(server)
    assert adopted(server)


def test_a_journal_that_is_lost_after_it_still_knows_the_unit_that_is_kept_off(server: Machine) -> None:
    served_by_another(server)
    adopt(server)
    server.journal.save()
    journal = lost(server)
    assert (journal.phase, journal.serving, journal.earlier_unit) == ("clean", "bucket", PLAYBOOK_UNIT)
    assert server.layout.drop_in(PLAYBOOK_UNIT) in units.guard_files(server.agent, journal)
    go(server, "local")
    lost(server)
    assert server.journal.earlier_unit == PLAYBOOK_UNIT and server.journal.serving is Side.LOCAL


def test_a_journal_that_is_set_back_to_before_it_is_put_right_by_the_folder_beneath(server: Machine) -> None:
    served_by_another(server)
    before = server.layout.journal.read_bytes()
    adopt(server)
    server.layout.journal.write_bytes(before)
    server.layout.adopted.unlink()
    journal = evidence.journal_of(server.agent)
    assert (journal.phase, journal.serving) == ("clean", "bucket")


def test_an_agent_that_is_killed_before_it_takes_the_drop_in_back(server: Machine) -> None:
    served_by_another(server)
    earlier_mount.lay(server.agent, server.journal, PLAYBOOK_UNIT)
    recovered(server)
    assert not server.layout.drop_in(PLAYBOOK_UNIT).exists() and not server.journal.earlier_unit
    assert server.system.log.count("daemon-reload") == 2
