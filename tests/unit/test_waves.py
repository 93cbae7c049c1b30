"""A fleet that is updated: so many at once, one that fails takes no other along, and a second run goes on."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pulumi import automation

from components.settings import parse
from operations import changed, fleet, report, status, verbs, waves
from operations.__main__ import main
from operations.waves import Member, Stand, State
from operations.workspace import OperationError

from .test_observation import never_laid
from .test_settings import GOOD

SIX = dict.fromkeys(["a", "b", "c", "d", "e", "f"], Stand("prepare", "prepare"))
Say = Callable[[str], None]


class Stacks:
    """Servers, of which some are broken; each update waits until as many others run as are to at once."""

    def __init__(self, broken: set[str], at_once: int = 1) -> None:
        self.broken, self.updated = broken, list[tuple[str, str]]()
        self._running, self.most = 0, 0
        self._guard, self._met = threading.Lock(), threading.Barrier(at_once, timeout=20)

    def update(self, stack: str, phase: str, say: Say) -> None:
        with self._guard:
            self.updated.append((stack, phase))
            self._running += 1
            self.most = max(self.most, self._running)
        self._met.wait()
        say(f"copied 1 of 2 files of {stack}")
        with self._guard:
            self._running -= 1
        self._met.wait()  # nobody begins before all of the wave were counted
        if stack in self.broken:
            raise OperationError("the server cannot be reached -- check server.host")


def states(members: list[Member]) -> dict[str, State]:
    return {member.stack: member.state for member in members}


def test_so_many_run_at_once_as_are_to_and_all_are_brought_to_the_phase() -> None:
    stacks, shown = Stacks(set(), at_once=3), list[str]()

    def show(members: Sequence[Member]) -> None:
        shown.extend(member.word for member in members)

    members = waves.run(SIX, "mirror", 3, 1, stacks.update, show)
    assert stacks.most == 3 and sorted(stacks.updated) == [(stack, "mirror") for stack in SIX]
    assert set(states(members).values()) == {State.DONE}
    assert "copied 1 of 2 files of d" in shown
    assert waves.summary(members) == ["6 done"]


def test_after_so_many_failures_no_more_are_begun_and_a_second_run_goes_on() -> None:
    stacks = Stacks({"b"})
    members = waves.run(SIX, "mirror", 1, 1, stacks.update, lambda members: None)
    assert states(members) == {
        "a": State.DONE, "b": State.FAILED, "c": State.NOT_BEGUN, "d": State.NOT_BEGUN, "e": State.NOT_BEGUN,
        "f": State.NOT_BEGUN,
    }  # fmt: skip
    said = waves.summary(members)
    assert said[0] == "1 done, 1 FAILED, 4 not begun"
    assert said[1] == "b: the server cannot be reached -- check server.host" and "run the same again" in said[2]
    mended = Stacks(set())
    again = waves.run({**SIX, "a": Stand("mirror", "mirror")}, "mirror", 1, 1, mended.update, lambda members: None)
    assert set(states(again).values()) == {State.DONE} and len(mended.updated) == 6


def test_more_failures_may_be_allowed_and_others_are_not_taken_along() -> None:
    stacks = Stacks({"a", "d"})
    members = waves.run(SIX, "mirror", 1, 3, stacks.update, lambda members: None)
    assert [stack for stack, state in states(members).items() if state is State.DONE] == ["b", "c", "e", "f"]


def test_a_stack_that_is_beyond_the_phase_is_left_alone_and_never_taken_back() -> None:
    stacks = Stacks(set())
    known = {"far": Stand("clean", "clean"), "near": Stand("prepare", "prepare"), "there": Stand("mirror", "mirror")}
    members = waves.run(known, "mirror", 1, 1, stacks.update, lambda members: None)
    assert stacks.updated == [("near", "mirror"), ("there", "mirror")]
    assert states(members)["far"] is State.BEYOND
    assert waves.intended(known, "mirror") == [
        "far    left alone, it is in clean", "near   prepare -> mirror", "there  mirror, as it is",
    ]  # fmt: skip


def test_a_file_that_takes_a_server_back_says_so_where_no_phase_is_named() -> None:
    assert waves.intended({"prod": Stand("prepare", "live"), "new": Stand("mirror", "mirror")}, "") == [
        "prod  live -> prepare", "new   mirror, as it is",
    ]  # fmt: skip


def test_an_error_that_nobody_thought_of_is_its_stacks_own() -> None:
    def update(stack: str, phase: str, say: Say) -> None:
        if stack == "a":
            raise ZeroDivisionError("division by zero")

    members = waves.run(SIX, "", 2, 2, update, lambda members: None)
    assert members[0] == Member("a", "prepare", State.FAILED, members[0].seconds, "ZeroDivisionError: division by zero")
    assert sum(member.state is State.DONE for member in members) == 5


def test_a_stack_whose_file_says_no_phase_fails_alone_and_a_table_that_cannot_be_drawn_is_no_success() -> None:
    def update(stack: str, phase: str, say: Say) -> None:
        if stack == "a":
            raise OperationError("phase: is mirorr")

    members = waves.run(
        {"a": Stand("mirorr", "mirorr"), "b": Stand("prepare", "prepare")}, "mirror", 1, 2, update, lambda members: None
    )
    assert [member.state for member in members] == [State.FAILED, State.DONE]

    def show(members: Sequence[Member]) -> None:
        raise OSError("broken pipe")

    with pytest.raises(OSError, match="broken pipe"):
        waves.run(SIX, "mirror", 1, 1, update, show)


def test_a_table_shows_brackets_in_errors_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with waves.table() as show:
        show([Member("prod", "mirror", State.FAILED, 3, "ssh [fe80::1] refused [/var/lib]")])
    assert "ssh [fe80::1] refused [/var/lib]" in capsys.readouterr().out


class Engine:
    """A stack of the Automation API, whose update says how far it is, or fails."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_all_config(self) -> dict[str, automation.ConfigValue]:
        return {"matrix-media-store:phase": automation.ConfigValue("prepare")}

    def up(self, on_output: Say) -> None:
        on_output(" ~  command:remote:Command prod-converge updating (12s) copied 5 of 20 files")
        if self.name == "broken":
            said = "error: the stack is currently locked\n"
            raise automation.errors.CommandError(automation.CommandResult("", said, 255))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What stacks' files were changed by."""
    edits: list[tuple[str, ...]] = []
    monkeypatch.setattr(automation, "LocalWorkspace", lambda **_: None)
    monkeypatch.setattr(automation.Stack, "select", lambda name, workspace: Engine(name))
    monkeypatch.setattr(waves, "edit_config", lambda stack, file, *words: edits.append((stack.name, *words)))
    return edits


def test_a_stacks_file_says_the_phase_once_its_turn_has_come_and_its_progress_is_told(
    engine: list[tuple[str, ...]],
) -> None:
    told: list[str] = []
    waves.update("prod", "mirror", told.append)
    assert engine == [("prod", "set", "phase", "mirror")] and told == ["copied 5 of 20 files"]
    waves.update("prod", "", told.append)
    assert len(engine) == 1, "as it is"
    with pytest.raises(OperationError, match="^the stack is currently locked$"):
        waves.update("broken", "", told.append)


@pytest.mark.parametrize(("answer", "broken", "ended"), [("yes", set(), 0), ("yes", {"b"}, 2), ("no", set(), 1)])
def test_the_fleet_is_asked_for_once_and_the_exit_status_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, broken: set[str], ended: int
) -> None:
    stacks = Stacks(broken)
    monkeypatch.setattr(fleet, "known", lambda chosen: {"a": SIX["a"], "b": SIX["b"]})
    monkeypatch.setattr(verbs, "selection_kept", contextlib.nullcontext)
    monkeypatch.setattr(waves, "update", stacks.update)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["fleet", "up", "--phase", "mirror", "--at-once", "1"]) == ended
    told = capsys.readouterr().out
    assert "a  prepare -> mirror" in told
    assert ("a: done" in told) is (answer == "yes") and ("b: FAILED" in told) is bool(broken)


def test_a_fleet_of_none_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fleet, "known", lambda chosen: {})
    assert main(["fleet", "up", "--yes"]) == 2
    assert "no stack has its configuration under stacks/" in capsys.readouterr().err


def test_a_plan_of_another_phase_previews_a_copy_and_leaves_the_stacks_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, seen = tmp_path / "Pulumi.prod.yaml", list[str]()
    file.write_text("phase: prepare")

    class Previewed(Engine):
        def preview(self, config_file: str, on_event: object) -> automation.PreviewResult:
            seen.append(Path(config_file).read_text())
            return automation.PreviewResult("", "", {})

    monkeypatch.setattr(changed, "config_file", lambda name: file)
    monkeypatch.setattr(changed, "edit_config", lambda stack, copy, *words: copy.write_text(" ".join(words)))
    stack = Previewed("prod")
    changed.preview(stack, changed.to_phase(stack, "live"))  # type: ignore[arg-type]
    changed.preview(stack, changed.to_phase(stack, ""))  # type: ignore[arg-type]
    assert seen == ["set phase live", "phase: prepare"] and file.read_text() == "phase: prepare"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_what_the_server_does_is_shown_with_its_last_line_of_progress() -> None:
    seen = never_laid("prepare") | {
        "running": {"id": "7", "target": "mirror", "after": ""}, "progress": "copied 5 of 20 files (25 %)",
    }  # fmt: skip
    said = status.watched(status.Status("prod", "matrix.example.com", "mirror", seen), "12:00:00")
    assert "  run            to mirror: copied 5 of 20 files (25 %)" in said
    assert not any("local files" in line or "DRIFT" in line for line in said), "nothing was counted"


def test_watching_goes_on_while_a_server_does_not_answer_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, shown = iter(["no route to host", ""]), list[list[str]]()

    def seen(settings: object, stack: str) -> object:
        if problem := next(answers):
            raise OperationError(problem)
        return never_laid()

    def show(lines: list[str]) -> None:
        shown.append(lines)
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status, "_settings", lambda stack: parse(GOOD))
    monkeypatch.setattr(status, "_seen", seen)
    with pytest.raises(KeyboardInterrupt):
        status.watch(Engine("prod"), 0, show)  # type: ignore[arg-type]
    assert shown[0] == ["no route to host"] and shown[1][0] == "stack prod, server matrix.example.com"


def test_the_newest_page_about_a_stack_is_found_by_the_time_in_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    assert main(["report", "--stack", "team/prod"]) == 2
    assert "no page about team/prod" in capsys.readouterr().err
    for name in ("2026-10-02-010101-live.html", "2026-11-02-010101-clean.html", "2026-09-30-235959-mirror.html"):
        (tmp_path / "prod").mkdir(exist_ok=True)
        (tmp_path / "prod" / name).touch()
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))  # type: ignore[func-returns-value]
    assert main(["report", "--stack", "team/prod", "--open"]) == 0
    newest = tmp_path / "prod/2026-11-02-010101-clean.html"
    assert capsys.readouterr().out == f"{newest}\n" and opened == [newest.as_uri()]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_each_shell_gets_what_it_completes_the_verbs_by(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("playbook-vars", "rollback", "--stop-after"))
    assert verbs.completion.__doc__
