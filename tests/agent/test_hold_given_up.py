"""What ends a hold: services are stopped instead, or go on where nothing can be written that would stay behind."""

from __future__ import annotations

import pytest

from agent.migration import held
from agent.model.errors import StoreError
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import hold, mount_point, store_in_use
from agent.store.bucket import STORE_TROUBLE

from .conftest import Machine
from .fakes import SYNAPSE, FakeBucket
from .holding import CONTAINER, GROUP, Told, fit, stopped
from .moves import FILES, go

#: A process that no machine has: the kernel gives no number above four million.
NOBODY = "9999999"


def gives_up(server: Machine, why: str) -> bool:
    """Whether the services were stopped, and that was told."""
    assert go(server, "live").phase is Phase.LIVE
    assert server.bucket.objects.items() >= FILES.items() and not server.system.frozen_groups
    return stopped(server) and any("cannot be held" in line and why in line for line in server.said)


def test_a_mount_that_ended_beside_is_not_brought_and_no_bare_folder_takes_its_place(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    monkeypatch.setattr(held, "TRYING_SECONDS", 0)
    server.system.on_freeze = lambda: server.system.mounts.discard(server.layout.mounting)
    assert gives_up(server, "the mount does not answer: nothing is mounted there")
    server.system.mounts.clear()
    with pytest.raises(Exception, match="the mount ended"):
        mount_point.bring(server.system, server.layout.mounting, server.store)


def test_a_store_that_refuses_while_all_stand_still_is_asked_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    freezes: list[int] = []

    def late() -> None:
        freezes.append(1)
        server.write(f"local_content/zz/zz/{len(freezes)}", b"late")

    def put(self: FakeBucket, key: str, body: bytes) -> None:
        if server.system.frozen_groups and len(freezes) == 1:
            raise StoreError(503, "SlowDown", key)
        self.put(key, body)

    server.system.on_freeze = late
    monkeypatch.setattr(FakeBucket, "put_medium", put)
    assert go(server, "live").phase is Phase.LIVE
    assert len(freezes) == 2 and not stopped(server)
    assert {"local_content/zz/zz/1", "local_content/zz/zz/2"} <= server.bucket.objects.keys()
    assert StoreError in STORE_TROUBLE


def test_what_the_kernel_lost_while_all_stand_still_is_not_walked_then(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    told = Told.take
    monkeypatch.setattr(Told, "take", lambda self: None if server.system.frozen_groups else told(self))
    monkeypatch.setattr("agent.migration.held.TRYING_SECONDS", 0)
    assert gives_up(server, "too many files came at once")


def test_what_somebody_else_paused_is_not_let_go(server: Machine) -> None:
    fit(server)
    server.system.seen, server.system.frozen_groups = [CONTAINER], {CONTAINER.group}
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and server.system.frozen_groups == {CONTAINER.group}
    assert GROUP not in server.system.frozen_groups


def test_what_was_thawed_by_somebody_else_moves_nothing(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)
    monkeypatch.setattr(server.system, "are_still", lambda groups: False)
    assert gives_up(server, "ended or thawed by somebody else")


def test_a_synapse_that_only_reads_and_does_not_see_the_mount_has_it_go_home(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    system = server.system
    before = lambda agent: [NOBODY] if SYNAPSE in system.active and not system.mounted(server.store) else []  # noqa: E731
    monkeypatch.setattr(store_in_use, "running", before)
    assert gives_up(server, f"Synapse (process {NOBODY}) does not see what was done at")


@pytest.mark.parametrize("stage", [Stage.SWAPPING, Stage.UNDOING])
def test_who_is_let_go_while_no_side_serves_finds_nowhere_to_write(server: Machine, stage: Stage) -> None:
    fit(server)
    server.store.rename(server.backup)
    server.hold(serving=Side.NOBODY, window=(Window.CUTOVER, stage))
    server.layout.held.write_text(f'{{"groups": ["{GROUP}"]}}')
    server.system.frozen_groups = {GROUP}
    server.system.mounts.add(server.store)
    hold.let_go(server.agent)
    assert not server.system.frozen_groups and server.store not in server.system.mounts
    assert mount_point.is_what_it_is(server.store.stat()), "nobody but root may write there"


def test_a_journal_that_cannot_be_read_keeps_nobody_standing_still(server: Machine) -> None:
    fit(server)
    server.layout.journal.write_text("{")
    server.layout.held.write_text(f'{{"groups": ["{GROUP}"]}}')
    server.system.frozen_groups = {GROUP}
    hold.let_go(server.agent)
    assert not server.system.frozen_groups and server.tree().items() >= FILES.items()
