"""Changed settings and keys come into use beneath services that stand still for two moments, and are never stopped."""

from __future__ import annotations

import pytest

from agent.migration import remount
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT
from agent.model.phases import Owed, Side
from agent.serving import mount
from agent.state.records import Owner
from agent.state.run import Server

from .conftest import Machine, NewServer
from .fake_work import FakeHomeserver
from .fakes import SYNAPSE
from .holding import CONTAINER, GROUP, boot, fit, recovered, stopped, struck
from .moves import go


def live(server: Machine) -> Machine:
    """A server whose services can be held, whose bucket serves, and whose mount has other settings by now."""
    fit(server)
    go(server, "live")
    server.hold(owed=[Owed.REMOUNT])
    server.system.log.clear()
    server.said.clear()
    return server


def change(server: Machine) -> None:
    remount.remount(server.run(), server.run)


def test_services_are_held_twice_and_never_stopped_and_our_own_mount_serves_anew(server: Machine) -> None:
    live(server)
    system, seen = server.system, []
    system.seen = [CONTAINER]
    system.on_freeze = lambda: seen.append((system.origin[server.store], set(system.frozen_groups)))
    change(server)
    both = {GROUP, CONTAINER.group}
    assert seen == [(MOUNT_UNIT, both), (STAGING_UNIT, both)], "whose program served when services stood still"
    assert system.origin[server.store] == MOUNT_UNIT and system.mounts == {server.store}
    assert not stopped(server) and not system.frozen_groups and not server.journal.owed
    restarts = [line for line in system.log if line in (f"stop {MOUNT_UNIT}", f"start {MOUNT_UNIT}")]
    assert restarts == [f"stop {MOUNT_UNIT}", f"start {MOUNT_UNIT}"], "it has the new settings"
    assert STAGING_UNIT not in system.active and any("twice, and run on" in line for line in server.said)


def test_whoever_does_not_see_the_other_mount_has_ours_back_and_services_are_stopped(server: Machine) -> None:
    live(server)
    system, served = server.system, list[str]()
    system.seen = system.unseeing = [CONTAINER]
    system.on_stop = lambda: served.append(system.origin[server.store])
    change(server)
    assert served == [MOUNT_UNIT] and system.origin[server.store] == MOUNT_UNIT
    assert stopped(server) and SYNAPSE in system.active and not server.journal.owed
    assert system.mounts == {server.store}


def test_where_the_second_hold_fails_the_staging_paths_mount_serves_until_services_are_stopped(server: Machine) -> None:
    live(server)
    system, served, freezes = server.system, list[str](), list[int]()
    system.seen = [CONTAINER]

    def second() -> None:
        freezes.append(1)
        system.unseeing = [CONTAINER] if len(freezes) == 2 else []

    system.on_freeze = second
    system.on_stop = lambda: served.append(system.origin[server.store])
    change(server)
    assert served == [STAGING_UNIT] and system.origin[server.store] == MOUNT_UNIT
    assert SYNAPSE in system.active and system.mounts == {server.store} and STAGING_UNIT not in system.active


def test_with_restart_nothing_is_held(server: Machine) -> None:
    live(server)
    server.tell(cutover={"method": "restart"})
    change(server)
    assert stopped(server) and not server.journal.owed


def test_services_that_somebody_stops_between_the_two_holds_stay_so_and_our_mount_serves(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(server)
    real = mount.start_anew

    def meanwhile(agent: Server, owner: Owner) -> None:
        real(agent, owner)
        server.system.active.discard(SYNAPSE)

    def nobody(self: FakeHomeserver) -> None:
        raise Problem("the homeserver does not answer", "start it")

    monkeypatch.setattr(mount, "start_anew", meanwhile)
    monkeypatch.setattr(FakeHomeserver, "wait", nobody)
    change(server)
    assert server.system.origin[server.store] == MOUNT_UNIT and server.system.mounts == {server.store}
    assert not server.journal.owed and server.journal.window is None and SYNAPSE not in server.system.active


def test_a_power_loss_at_any_operation_leaves_a_bucket_that_serves_by_our_mount(new_server: NewServer) -> None:
    for at, server in struck(new_server, live, change):
        boot(server)
        assert server.system.origin[server.store] == MOUNT_UNIT and server.journal.serving is Side.BUCKET, at


def test_an_agent_that_is_killed_at_any_operation_leaves_a_bucket_that_serves_and_the_next_run_ends_it(
    new_server: NewServer,
) -> None:
    for at, server in struck(new_server, live, change):
        recovered(server)
        assert server.store in server.system.mounts and not server.system.frozen_groups, at
        assert server.journal.serving is Side.BUCKET and server.journal.window is None and not stopped(server), at
        mount.take_over(server.agent, server.journal.owner)
        mount.stop_staging(server.agent)
        assert server.system.origin[server.store] == MOUNT_UNIT and server.store in server.system.mounts, at
        change(server)
        assert server.system.origin[server.store] == MOUNT_UNIT and not server.journal.owed, at
