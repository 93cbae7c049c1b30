"""The command `media-store`: its words, its exit statuses, and what users see where something fails."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import CommandResult
from pulumi.automation.errors import CommandError

from components.host import zipapp
from operations import __main__ as command
from operations import arguments, changed, fleet, move, rollback, status, verbs
from operations.workspace import OperationError
from sandbox.world import ROOT

VERBS = (
    "init", "plan", "status", "history", "rollback", "move", "report", "playbook-vars", "fleet", "sse-key",
    "completion",
)  # fmt: skip
#: A `pulumi` that writes down what it is asked, and keeps one key.
PULUMI = """#!/bin/sh
echo "$@" >> "$LOG"
case "$2" in
get) test "$4" = store.kind -a -n "$KIND" && echo "$KIND" && exit
    test "$4" = store.sseCustomerKey -a -e "$LOG.key" && cat "$LOG.key" && exit
    echo "error: configuration key '$4' not found for stack 'prod'" >&2
    exit 255 ;;
set) cat > "$LOG.key" ;;
esac
"""
#: One that is asked for something when somebody presses Ctrl-C.
INTERRUPTED = """#!/bin/sh
kill -INT $PPID
exec sleep 20
"""
BROKEN = "#!/bin/sh\necho 'error: incorrect passphrase' >&2\nexit 255\n"


def installed(folder: Path, *words: str, pulumi: str = "") -> subprocess.CompletedProcess[str]:
    """The installed script from another folder, with a pretended `pulumi` or none."""
    if pulumi:
        (folder / "pulumi").write_text(pulumi)
        (folder / "pulumi").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}" if pulumi else str(folder)
    return subprocess.run(
        [ROOT / ".venv/bin/media-store", *words], cwd=folder, text=True, capture_output=True,
        env={**os.environ, "PATH": path, "LOG": str(folder / "log")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example_that_its_parser_takes(verb: str, tmp_path: Path) -> None:
    done = installed(tmp_path, verb, "--help")
    examples = re.findall(r"^example: media-store (.*)$", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and len(examples) == 1
    assert arguments.parser().parse_args(examples[0].split()).verb == verb


def test_the_help_says_every_verb_and_what_the_exit_statuses_are(tmp_path: Path) -> None:
    told = installed(tmp_path, "--help").stdout
    assert re.findall(r"^    ([a-z-]+)", told, re.MULTILINE) == list(VERBS)
    assert re.findall(r"^  (\d+) ", told, re.MULTILINE) == ["0", "1", "2", "3", "130"]


def test_the_versions_of_program_and_agent_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--version"])
    assert re.fullmatch(rf"matrix-media-store \d+\.\d+\.\d+, agent {zipapp.version()}\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "words", [[], ["stats"], ["status"], ["rollback", "--stack", "prod"], ["fleet", "--stack", "x"]]
)
def test_wrong_words_are_one_line_and_status_2(words: list[str], tmp_path: Path) -> None:
    done = installed(tmp_path, *words)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: .* -- see media-store.* --help\n", done.stderr)


def test_sse_key_sets_32_random_bytes_as_a_secret_once(tmp_path: Path) -> None:
    done = installed(tmp_path, "sse-key", "--stack", "prod", pulumi=PULUMI)
    key = (tmp_path / "log.key").read_text()
    assert done.returncode == 0 and len(base64.b64decode(key, validate=True)) == 32
    log = (tmp_path / "log").read_text()
    assert "config set --secret --path store.sseCustomerKey --stack prod" in log
    assert key not in log + done.stdout + done.stderr and "keep a copy" in done.stdout
    again = installed(tmp_path, "sse-key", "--stack", "prod", pulumi=PULUMI)
    assert again.returncode == 2 and "has store.sseCustomerKey already" in again.stderr
    assert key not in again.stdout + again.stderr and (tmp_path / "log.key").read_text() == key


def test_sse_key_sets_nothing_for_a_store_that_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, entry 56: it was set, and the stack could not be read any more."""
    monkeypatch.setenv("KIND", "b2")
    done = installed(tmp_path, "sse-key", "--stack", "prod", pulumi=PULUMI)
    assert done.returncode == 2 and "kind b2 takes no store.sseCustomerKey" in done.stderr
    assert not (tmp_path / "log.key").exists()


def test_sse_key_sets_nothing_where_nobody_can_say_whether_there_is_a_key(tmp_path: Path) -> None:
    done = installed(tmp_path, "sse-key", "--stack", "prod", pulumi=BROKEN)
    assert done.returncode == 2 and done.stderr == "error: incorrect passphrase\n"


def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    done = installed(tmp_path, "sse-key", "--stack", "prod", pulumi=INTERRUPTED)
    assert done.returncode == 130 and done.stderr == "error: interrupted -- run it again\n"


@pytest.mark.parametrize("words", [["history", "--stack", "prod"], ["fleet"], ["sse-key", "--stack", "prod"]])
def test_without_pulumi_that_is_what_is_told(words: list[str], tmp_path: Path) -> None:
    done = installed(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr == "error: pulumi is not there -- install it, or put it on the PATH\n"


#: Runs a verb; gives its exit status and what it printed on standard error.
Run = Callable[..., "tuple[int, str]"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on a stack that is there; its exit status and what it printed on standard error."""
    monkeypatch.setattr(verbs, "opened", lambda name: contextlib.nullcontext(None))

    def run(*words: str) -> tuple[int, str]:
        return command.main(words), capsys.readouterr().err

    return run


def raising(error: BaseException) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(("drift", "ended"), [([], 0), (["the mount is gone -- run pulumi up"], 1)])
def test_status_ends_with_1_where_there_is_drift(
    run: Run, monkeypatch: pytest.MonkeyPatch, drift: list[str], ended: int
) -> None:
    found = status.Status("prod", "matrix.example.com", "live", {}, drift)
    monkeypatch.setattr(status, "ask", lambda stack: found)
    assert run("status", "--stack", "prod", "--json") == (ended, "")


def test_watching_is_ended_by_ctrl_c_and_that_is_no_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "watch", raising(KeyboardInterrupt()))
    assert run("status", "--stack", "prod", "--watch") == (0, "")
    refused, said = run("status", "--stack", "prod", "--watch", "--json")
    assert refused == 2 and "--watch is for people" in said


def test_status_ends_with_2_where_the_server_cannot_be_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "ask", raising(OperationError("the server cannot be reached -- check server.host")))
    assert run("status", "--stack", "prod") == (2, "error: the server cannot be reached -- check server.host\n")


def test_what_the_engine_says_is_one_line_and_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = CommandResult(stdout="Updating (prod)", stderr="error: the stack is currently locked\n", code=255)
    monkeypatch.setattr(status, "ask", raising(CommandError(said)))
    assert run("status", "--stack", "prod") == (2, "error: the stack is currently locked\n")


@pytest.mark.parametrize(("answer", "ended"), [("yes", 0), ("no", 1), (EOFError(), 1), (KeyboardInterrupt(), 130)])
def test_rollback_ends_with_1_where_nobody_agreed(
    run: Run, monkeypatch: pytest.MonkeyPatch, answer: Any, ended: int
) -> None:
    monkeypatch.setattr(rollback, "rollback", lambda stack, number, named, agreed, say: agreed())
    monkeypatch.setattr("builtins.input", raising(answer) if isinstance(answer, BaseException) else lambda _: answer)
    assert run("rollback", "--stack", "prod", "--to", "3")[0] == ended


@pytest.mark.parametrize(("answer", "ended"), [("yes", 0), ("no", 1)])
def test_a_move_sets_which_store_serves_in_a_copy_of_the_stacks_file_and_asks(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, ended: int
) -> None:
    done, file = list[str](), tmp_path / "Pulumi.prod.yaml"
    file.write_text("before")

    class Engine:
        name = "prod"

        def preview(self, config_file: str, **_: Any) -> None:
            done.append(f"preview {Path(config_file).read_text()}")

        def up(self, **_: Any) -> None:
            done.append(f"up {file.read_text()}")

    def edit(stack: Any, copy: Path, *words: str) -> None:
        copy.write_text(" ".join(words))

    monkeypatch.setattr(verbs, "opened", lambda name: contextlib.nullcontext(Engine()))
    monkeypatch.setattr(changed, "config_file", lambda name: file)
    monkeypatch.setattr(move, "edit_config", edit)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert run("move", "--stack", "prod", "--to", "frankfurt")[0] == ended
    assert done == ["preview set serve frankfurt", *(["up set serve frankfurt"] if ended == 0 else [])]
    assert file.read_text() == ("set serve frankfurt" if ended == 0 else "before")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_rollback_that_was_interrupted_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "rollback", raising(KeyboardInterrupt("interrupted -- run pulumi up to go on")))
    assert run("rollback", "--stack", "prod", "--to", "3", "--yes") == (
        130,
        "error: interrupted -- run pulumi up to go on\n",
    )


@pytest.mark.parametrize(("problem", "ended"), [("", 0), ("the stack is currently locked", 2)])
def test_fleet_ends_with_2_where_a_stack_could_not_be_previewed(
    run: Run, monkeypatch: pytest.MonkeyPatch, problem: str, ended: int
) -> None:
    monkeypatch.setattr(fleet, "preview_all", lambda phase, chosen: [fleet.Preview("prod", "live", {}, problem)])
    assert run("fleet")[0] == ended
