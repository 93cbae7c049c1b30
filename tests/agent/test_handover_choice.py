"""Which of both mounts comes up at a cutover, and where one overtakes the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agent.migration import converge
from agent.model.errors import CommandFailed
from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.model.phases import Phase
from agent.serving import mount, playbook

from .conftest import Machine
from .playbook import ITS_UNIT, lay_playbooks_unit, serving, tell


def test_a_start_of_ours_that_the_playbooks_overtakes_ends_with_the_playbooks(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(server)
    lay_playbooks_unit(server)
    serving(server)
    real = server.system.start

    def overtaken(units: Sequence[str], **options: Any) -> None:
        if MOUNT_UNIT in units:
            server.layout.gave_way.touch()
            raise CommandFailed(["systemctl", "start"], 1, "canceled")
        real(units, **options)

    monkeypatch.setattr(server.system, "start", overtaken)
    mount.start_final(server.agent, server.journal.owner)
    assert PLAYBOOK_UNIT in server.system.active
    assert any(line.startswith("enable") and PLAYBOOK_UNIT in line for line in server.system.log)


@pytest.mark.parametrize(("bucket", "unit"), [("b", PLAYBOOK_UNIT), ("other", MOUNT_UNIT)])
@pytest.mark.parametrize("gave_way_earlier", [True, False])
def test_a_cutover_lets_the_playbooks_unit_mount_where_it_mounts_the_same(
    server: Machine, monkeypatch: pytest.MonkeyPatch, bucket: str, unit: Any, gave_way_earlier: bool
) -> None:
    tell(server)
    lay_playbooks_unit(server, ITS_UNIT.replace(" b ", f" {bucket} "))
    if gave_way_earlier:
        server.layout.gave_way.touch()
    monkeypatch.setattr(server.system, "mount_units", lambda: [(unit, server.store)])
    converge.converge(server.run(), Phase.LIVE)
    assert unit in server.system.active
    assert playbook.serving_unit(server.agent) == unit
