"""The stand-in for the command plugin does what version 1.2.1 did against the same server, and says the same.

The answers expected here are those of the published plugin, run against the same server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sandbox.plugins.command.output import quoted
from sandbox.plugins.command.resources import RESOURCES
from sandbox.plugins.resource import Provider
from tests.unit.speaking import Refused, Speaker
from tests.unit.ssh_server import MEBIBYTE, served

COMMAND = RESOURCES["command:remote:Command"]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with served(tmp_path_factory.mktemp("ssh") / "key") as found:
        yield found


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def run(connection: dict[str, Any], command: str, lines: list[str] | None = None, **inputs: Any) -> dict[str, Any]:
    log = (lines if lines is not None else []).append
    return COMMAND.create({"connection": connection, "create": command, **inputs}, log)


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, ["out", "err", "last"]),
        ("stdoutAndStderr", ["out", "err", "last"]),
        ("stdout", ["out", "last"]),
        ("stderr", ["err"]),
        ("none", []),
        ("verbose", []),
    ],
)
def test_logging_says_what_shows_and_outputs_have_all_of_it(
    connection: dict[str, Any], logging: str | None, shown: list[str]
) -> None:
    lines: list[str] = []
    outputs = run(connection, "mixed", lines, logging=logging)
    assert outputs == {"stdout": "out\nlast", "stderr": "err\r"} and lines == shown


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fails 'a' \"b\" é \x01 \t $x",
         'Process exited with status 3: running "fails \'a\' \\"b\\" é \\x01 \\t $x":\nout\nerr\r\nlast'),
        ("killed", 'Process exited with status 137 from signal KILL: running "killed":\nx\n'),
        ("killed oddly",
         'Process exited with status 128 from signal USR1. Reason was: because: running "killed oddly":\nx\n'),
        ("vanishes", 'wait: remote command exited without exit status or exit signal: running "vanishes":\n'),
    ],
)  # fmt: skip
def test_a_failed_command_is_told_in_the_words_of_gos_ssh(connection: dict[str, Any], command: str, said: str) -> None:
    with pytest.raises(RuntimeError) as error:
        run(connection, command)
    assert str(error.value) == said


def test_stdin_beyond_what_the_server_takes_unread_is_an_error(connection: dict[str, Any]) -> None:
    assert run(connection, "deaf", stdin="a" * 2 * MEBIBYTE)["stdout"] == ""
    with pytest.raises(RuntimeError, match='^EOF: running "deaf":\n$'):
        run(connection, "deaf", stdin="a" * (2 * MEBIBYTE + 1))
    assert run(connection, "counts", stdin="a" * 3 * MEBIBYTE)["stdout"] == str(3 * MEBIBYTE)


def test_output_that_is_no_utf_8_fails_a_command_that_did_its_work(connection: dict[str, Any]) -> None:
    command = Speaker(Provider("1.2.1", RESOURCES), "command:remote:Command")
    for logging in ("stdoutAndStderr", "none"):
        with pytest.raises(Refused) as error:
            command.create({"connection": connection, "create": "latin", "logging": logging})
        assert error.value.code is grpc.StatusCode.INTERNAL
        assert str(error.value) == "grpc: error while marshaling: string field contains invalid UTF-8"


def test_a_line_that_the_published_plugin_hangs_at_is_refused(connection: dict[str, Any]) -> None:
    lines: list[str] = []
    assert len(run(connection, "long", lines)["stdout"]) == 65535 and [len(line) for line in lines] == [65535]
    with pytest.raises(RuntimeError, match="never returns"):
        run(connection, "too long")
    assert len(run(connection, "too long", logging="none")["stdout"]) == 65536


def test_a_variable_that_the_server_does_not_take_fails_and_a_previous_output_does_not(
    connection: dict[str, Any],
) -> None:
    with pytest.raises(RuntimeError, match='^could not set environment variable "A": ssh: setenv failed$'):
        run(connection, "mixed", environment={"A": "1"})
    assert run(connection, "mixed", environment={"OK_A": "1"})["stdout"]
    lines: list[str] = []
    assert COMMAND.update
    new = {"connection": connection, "create": "mixed"}
    assert COMMAND.update({"stdout": "before", "stderr": ""}, new, lines.append)["stdout"] == "out\nlast"
    assert lines.pop(0).startswith("Unable to set 'PULUMI_COMMAND_STDOUT'. This only works if") and len(lines) == 3
    COMMAND.update({"stdout": "before"}, {**new, "addPreviousOutputInEnv": False}, lines.append)
    assert len(lines) == 6, "nothing was set"


@pytest.mark.parametrize("given", ["SSH_AUTH_SOCK", "agentSocketPath"])
def test_an_agent_that_does_not_answer_is_an_error_at_once_whatever_else_is_given(
    connection: dict[str, Any], given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "agent")
    if given == "SSH_AUTH_SOCK":
        monkeypatch.setenv(given, path)
    else:
        connection = {**connection, given: path}
    lines: list[str] = []
    with pytest.raises(RuntimeError) as error:
        run({**connection, "password": "right"}, "mixed", lines)
    assert str(error.value) == f"dial unix {path}: connect: no such file or directory"
    assert not lines, "nothing was dialled, and so nothing is tried again"


def test_an_empty_variable_is_no_agent(connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    assert run(connection, "mixed")["stdout"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"privateKey": "junk"}, "ssh: no key found"),
        ({"hostKey": "junk"}, "failed to parse host key: ssh: no key found"),
        ({"privateKey": None}, "after 1 failed attempts: ssh: handshake failed: ssh: unable to authenticate, "
         "attempted methods [none], no supported methods remain"),
        ({"privateKey": None, "password": "wrong"}, "after 1 failed attempts: ssh: handshake failed: ssh: unable to "
         "authenticate, attempted methods [none password], no supported methods remain"),
        ({"hostKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ=="},
         "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch"),
        ({"port": 1}, "after 1 failed attempts: dial tcp 127.0.0.1:1: connect: connection refused"),
    ],
)  # fmt: skip
def test_what_keeps_from_connecting_is_told_in_the_words_of_gos_ssh(
    connection: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(RuntimeError) as error:
        run({**connection, **change}, "mixed")
    assert str(error.value) == said


def test_text_is_quoted_as_go_quotes_it() -> None:
    assert quoted('\a\b\f\n\r\t\v\\"\x7f\xa0é\u200b𝄞\U000e0001') == (
        r'"\a\b\f\n\r\t\v\\\"\x7f\u00a0é\u200b𝄞\U000e0001"'
    )


def test_a_local_commands_streams_keep_their_order_and_its_end_is_told_as_go_tells_it(tmp_path: Path) -> None:
    local = RESOURCES["command:local:Command"]
    for create, said in {
        "echo a; sleep .1; echo b >&2; sleep .1; echo c; exit 3": "exit status 3: running {}:\na\nb\nc\n",
        "kill -9 $$": "signal: killed: running {}:\n",
    }.items():
        with pytest.raises(RuntimeError) as error:
            local.create({"create": create}, print)
        assert str(error.value) == said.format(quoted(create))
    with pytest.raises(RuntimeError, match=f"^chdir {tmp_path}/none: no such file or directory: running "):
        local.create({"create": "true", "dir": f"{tmp_path}/none"}, print)
    unread = local.create({"create": "printf 'a\\r\\n'", "stdin": "x" * MEBIBYTE}, print)
    assert unread["stdout"] == "a\r"
