"""The unit that works: started once systemd forgot the one before, followed by its lines of progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from agent.commands import converge
from agent.commands import work as verb
from agent.commands.arguments import Command
from agent.migration import converge as driver
from agent.migration import move as moves
from agent.migration import recovery
from agent.model.phases import Milestone, Owed, Phase, Side
from agent.model.protocol import Request
from agent.state import work
from agent.state.run import Run

from .conftest import Machine


def test_a_unit_is_started_only_once_systemd_forgot_the_one_before(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would refuse: `was already loaded or has a fragment file`."""
    states, started = iter(["loaded\n", "loaded\n", "not-found\n"]), list[str]()

    def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        assert not started
        return any(condition() for _ in range(3))

    def run(argv: Sequence[str], timeout: float | None = None, check: bool = True) -> str:
        assert next(states, "gone") == "gone", "started while systemd had it still"
        started.extend(argv)
        return ""

    monkeypatch.setattr(server.system, "wait_until", wait_until)
    monkeypatch.setattr(server.system, "systemctl", lambda *words, check=True: next(states))
    monkeypatch.setattr(server.system, "run", run)
    request = work.start(server.layout, server.system, Phase.MIRROR, "3.mark")
    assert started[0] == "systemd-run" and started[-2:] == ["--after", "3.mark"]
    assert request["target"] == "mirror" and request["id"] in started


def test_a_follower_says_what_is_for_people_whichever_agent_wrote_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "running", lambda *_: None)
    server.layout.var.mkdir(parents=True, exist_ok=True)
    work.tell(server.layout, {"text": "copied 1 of 2 files"})
    work.tell(server.layout, {"milestone": Milestone.COMPARED, "about": "mirror"})
    with server.layout.progress.open("a") as progress:
        progress.write("as an agent of an earlier version wrote it\n")
    work.end(server.layout, {"id": "7", "ok": True})
    said: list[str] = []
    request = {"id": "7", "target": "mirror", "after": "any"}
    assert work.follow(server.layout, server.system, request, said.append)["ok"]  # type: ignore[arg-type]
    assert said == ["copied 1 of 2 files", "as an agent of an earlier version wrote it"]


def test_a_run_that_was_killed_and_still_ends_is_waited_for_and_then_begun_anew(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update right after a kill attached to the remains, and failed with them."""
    server.hold(Phase.PREPARE, Side.LOCAL)
    killed: Request = {"id": "1", "target": "mirror", "after": "any"}
    ours: Request = {"id": "2", "target": "mirror", "after": "any"}
    found = iter([killed, None])

    def follow(layout: object, system: object, request: Request, say: Callable[[str], None]) -> dict[str, object]:
        if request is killed:
            raise work.EndedFromOutside("the work was ended from outside", "look")
        return {"id": "2", "ok": True, "phase": "mirror"}

    monkeypatch.setattr(converge, "HERE", server.layout)
    monkeypatch.setattr(converge, "run_here", lambda *_: server.run())
    monkeypatch.setattr(converge, "say", server.said.append)
    monkeypatch.setattr(work, "running", lambda *_: next(found))
    monkeypatch.setattr(work, "start", lambda *_: ours)
    monkeypatch.setattr(work, "follow", follow)
    assert converge.bring_to(Phase.MIRROR, "any", {}) == {"phase": "mirror"}
    assert any("starting anew" in line for line in server.said)
    found, killed = iter([None]), ours
    with pytest.raises(work.EndedFromOutside):
        converge.bring_to(Phase.MIRROR, "any", {})


def test_whoever_goes_on_after_a_move_first_ends_it_and_works_with_the_settings_that_lie_there_then(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way home, what nobody told of would stay in the store that was left, or only that one be asked."""
    done = list[str]()
    server.hold(Phase.LIVE, Side.BUCKET, owed=[Owed.LEFT])

    def load() -> Run:
        done.append("load")
        return server.run()

    def end(run: Run, load: Callable[[], Run], must: bool) -> None:
        assert must
        done.append("move")
        server.hold(Phase.LIVE, Side.BUCKET)

    monkeypatch.setattr(verb, "HERE", server.layout)
    monkeypatch.setattr(verb, "_load", load)
    monkeypatch.setattr(recovery, "recover", lambda run: done.append("recover"))
    monkeypatch.setattr(moves, "end", end)
    monkeypatch.setattr(driver, "converge", lambda run, phase, after: done.append(f"to {phase}"))
    assert verb.work(Command("work", target="prepare"))["ok"]
    assert done == ["load", "recover", "load", "move", "load", "to prepare"]
