"""The store is moved beneath services that stand still for a moment, and are never stopped."""

from __future__ import annotations

import pytest

from agent.commands import let_go as verb
from agent.commands.arguments import Command
from agent.migration import held, recovery, window
from agent.model.errors import Problem
from agent.model.layout import THAW_TIMER
from agent.model.phases import Phase, Side
from agent.serving import hold, store_in_use
from agent.state.run import Server

from .conftest import Machine, NewServer
from .fakes import SYNAPSE, PowerLoss
from .holding import CONTAINER, ELSEWHERE, GROUP, boot, fit, recovered, stopped, struck
from .moves import FILES, go


def test_services_are_held_and_never_stopped_and_what_came_last_is_in_the_bucket(server: Machine) -> None:
    fit(server)
    seen = []

    def last() -> None:
        server.write("local_content/zz/zz/last", b"closed just before")
        seen.append((server.journal.serving, set(server.system.frozen_groups)))

    server.system.seen = [CONTAINER]
    server.system.on_freeze = last
    assert go(server, "live").phase is Phase.LIVE
    assert seen == [(Side.NOBODY, {GROUP, CONTAINER.group})], "whoever starts meanwhile is held by its guard"
    assert server.bucket.objects == FILES | {"local_content/zz/zz/last": b"closed just before"}
    assert not stopped(server) and not server.system.frozen_groups and not server.layout.held.exists()
    assert server.system.mounts == {server.store}
    counts = server.journal.last
    assert "services_stopped_seconds" not in counts and 0 <= counts["services_held_seconds"] < 2
    assert f"restart {THAW_TIMER}" in server.system.log, "somebody else would have let them go"


def test_a_folder_whose_file_is_about_to_be_written_is_in_the_mount_too(server: Machine) -> None:
    fit(server)
    server.system.on_freeze = (server.store / "local_content/qq/rr").mkdir
    (server.store / "local_content/qq").mkdir()
    go(server, "live")
    assert (server.layout.mounting / "local_content/qq/rr").is_dir()


def test_while_a_file_is_being_written_it_is_not_the_moment(server: Machine) -> None:
    fit(server)
    server.system.writing = ["python3 (process 7): 'local_content/aa/bb/three'"]
    freezes = []

    def frozen() -> None:
        freezes.append(1)
        if len(freezes) == 3:
            server.system.writing = []

    server.system.on_freeze = frozen
    go(server, "live")
    assert len(freezes) == 3 and not stopped(server)


@pytest.mark.parametrize("method", ["auto", "hold"])
def test_where_there_is_no_such_moment_services_are_stopped_if_they_may_be(
    server: Machine, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    server.tell(cutover={"method": method})
    monkeypatch.setattr(held, "TRYING_SECONDS", 0)
    server.system.writing = ["python3 (process 7): 'local_content/aa/bb/three'"]
    server.system.on_freeze = lambda: None
    if method == "hold":
        with pytest.raises(
            Problem, match="never the moment: a file is being written by python3 .*set cutover.method to auto"
        ):
            go(server, "live")
        assert not stopped(server) and server.journal.serving is Side.LOCAL
    else:
        with pytest.raises(Problem, match="open for writing, though its services are stopped"):
            go(server, "live")
        assert stopped(server)
    assert (
        not server.system.frozen_groups and server.tree().items() >= FILES.items() and SYNAPSE in server.system.active
    )


def test_whoever_does_not_see_the_mount_makes_it_go_home_and_services_are_stopped(server: Machine) -> None:
    fit(server)
    server.system.seen = server.system.unseeing = [CONTAINER]
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and not server.system.frozen_groups
    assert any("process 4711 does not see what was done at /media/store" in line for line in server.said)


def test_a_container_that_comes_while_others_stand_still_is_held_too(server: Machine) -> None:
    fit(server)
    server.system.seen = [CONTAINER]
    frozen: list[set[str]] = []

    def comes() -> None:
        frozen.append(set(server.system.frozen_groups))
        server.system.seen = [CONTAINER, ELSEWHERE]

    server.system.on_freeze = comes
    go(server, "live")
    assert frozen == [{GROUP, CONTAINER.group}, {GROUP, CONTAINER.group, ELSEWHERE.group}]


def test_with_restart_nothing_is_held(server: Machine) -> None:
    fit(server)
    server.tell(cutover={"method": "restart"})
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and "services_stopped_seconds" in server.journal.last


def test_the_preview_says_what_services_will_do(server: Machine) -> None:
    from agent.migration import converge

    fit(server)
    (line,) = converge.plan(server.agent, server.journal, Phase.LIVE)
    assert f"hold {SYNAPSE}" in line and f"stop {SYNAPSE}" not in line
    server.system.freezable = False
    (line,) = converge.plan(server.agent, server.journal, Phase.LIVE)
    assert f"stop {SYNAPSE}" in line and "control groups of version 1" in line


def test_a_power_loss_at_any_operation_loses_nothing(new_server: NewServer) -> None:
    for at, server in struck(new_server, with_a_late_file, lambda new: go(new, "live")):
        boot(server)
        assert go(server, "live").phase is Phase.LIVE
        assert server.bucket.objects.items() >= (FILES | {"local_content/ee/ff/late": b"late"}).items(), at


def with_a_late_file(server: Machine) -> Machine:
    fit(server).write("local_content/ee/ff/late", b"late")
    return server


def test_an_agent_that_is_killed_at_any_operation_leaves_nobody_standing_still(new_server: NewServer) -> None:
    for at, server in struck(new_server, fit, lambda new: go(new, "live")):
        recovered(server)
        assert not server.system.frozen_groups and server.journal.window is None, at
        if server.journal.serving is Side.LOCAL:
            assert server.tree().items() >= FILES.items(), at
            assert not server.system.mounts - {server.system.staging}, at
        assert not stopped(server), at


def test_the_timer_kills_who_holds_and_lets_go_where_recovery_does_not(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(server)
    server.power.left = 1_000_000

    def killed() -> None:
        raise PowerLoss

    server.system.on_freeze = killed
    monkeypatch.setattr(recovery, "recover", lambda *_, **__: None)
    with pytest.raises(PowerLoss):
        go(server, "live")
    assert server.system.frozen_groups
    monkeypatch.setattr(verb, "HERE", server.layout)
    monkeypatch.setattr(Server, "load", lambda layout: server.agent)
    assert verb.let_go(Command("let-go")) == {"late": True}
    assert "kill --kill-who=main --signal=SIGKILL matrix-media-store-converge.service" in server.system.log
    assert not server.system.frozen_groups
    assert verb.let_go(Command("let-go")) == {"late": False}


def test_a_group_that_holds_this_program_is_not_frozen(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)
    monkeypatch.setattr(hold, "group_of", lambda process: "/system.slice/docker-1.scope/inner")
    server.system.seen = [CONTAINER]
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server)


def test_where_groups_cannot_be_frozen_services_are_stopped(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)

    def refused(groups: object, seconds: float) -> bool:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(server.system, "freeze", refused)
    assert go(server, "live").phase is Phase.LIVE
    assert stopped(server) and any("cannot be frozen: [Errno 1]" in line for line in server.said)


def test_services_do_not_stand_still_again_and_again(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)
    tries: list[object] = []

    def slowly(groups: object, seconds: float) -> bool:
        tries.append(groups)
        return False

    monkeypatch.setattr(server.system, "freeze", slowly)
    monkeypatch.setattr(window.Stopwatch, "seconds", property(lambda self: 1.1))
    assert go(server, "live").phase is Phase.LIVE
    assert len(tries) == 3 and stopped(server), "three seconds in all"


def test_a_synapse_of_no_known_unit_would_not_stand_still(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(server)
    frozen: list[int] = []
    server.system.on_freeze = lambda: frozen.append(1)
    monkeypatch.setattr(store_in_use, "running", lambda server: ["4713"])
    monkeypatch.setattr(hold, "group_of", lambda process: "/user.slice/session-1.scope")
    with pytest.raises(Problem, match="Synapse .process 4713. runs and uses the media store"):
        go(server, "live")
    assert not frozen and SYNAPSE in server.system.active
