"""Whoever waits to recover keeps nobody from starting the services, and what serves in a mount's place stays."""

from __future__ import annotations

import pytest

from agent.migration import recovery
from agent.model.layout import RECOVER_TIMER, RECOVER_UNIT
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import mount_point

from .conftest import Machine
from .fakes import SYNAPSE
from .moves import fill, go


def test_the_unit_that_waits_for_this_run_is_ended_before_services_that_start_after_it(server: Machine) -> None:
    fill(server)
    go(server, "live")
    log = server.system.log
    start = log.index(f"start {SYNAPSE}")
    assert log.index(f"restart --no-block {RECOVER_TIMER}") < log.index(f"stop {RECOVER_TIMER} {RECOVER_UNIT}") < start


@pytest.mark.parametrize("boot", [False, True])
def test_recovery_ends_it_too_unless_it_is_that_unit_itself(server: Machine, boot: bool) -> None:
    fill(server)
    go(server, "mirror")
    server.hold(Phase.MIRROR, Side.NOBODY, (Window.CUTOVER, Stage.DELTA), [SYNAPSE])
    server.system.log.clear()
    recovery.recover(server.run(), boot=boot)
    assert (f"stop {RECOVER_TIMER} {RECOVER_UNIT}" in server.system.log) is not boot


def test_what_the_staging_path_shows_at_the_stores_path_is_not_taken_for_a_dead_mount(server: Machine) -> None:
    system, staging = server.system, server.system.staging
    system.mounts |= {server.store, staging}
    system.origin |= {server.store: "the same", staging: "the same"}
    mount_point.clear(system, staging, server.store)
    assert server.store in system.mounts
    system.origin[server.store] = "another"
    mount_point.clear(system, staging, server.store)
    mount_point.clear(system, staging, staging)
    assert not system.mounts & {server.store, staging}
