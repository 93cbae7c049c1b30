"""Keys that may ask for the status: laid beside the user's own, found again, and good for nothing else."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from agent.commands.status import question
from agent.model.errors import Problem
from agent.model.phases import Phase
from agent.setup import status_keys

from .conftest import Machine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP+v+vLzkitswSTbYJG+0NsKERYais1wbZIFA7M5SdRJ"
OWN = "# mine\nssh-rsa AAAA me@home\n"


def told(server: Machine, *keys: str) -> Path:
    """Lay these keys; returns the file that has them."""
    server.tell(host={"status_keys": list(keys)})
    status_keys.lay(server.run())
    return server.root / "root/.ssh/authorized_keys"


def differences(server: Machine) -> list[str]:
    return status_keys.differences(server.agent, server.journal)


def test_keys_are_laid_beside_the_users_own_and_go_without_a_trace(server: Machine) -> None:
    (server.root / "root").mkdir()
    file = told(server, KEY)
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text(OWN.removesuffix("\n"))
    file.chmod(0o644)
    assert differences(server) != []
    told(server, KEY)
    assert file.read_text().startswith(OWN) and file.stat().st_mode & 0o777 == 0o644
    assert differences(server) == []
    told(server)
    assert file.read_text() == OWN and differences(server) == []
    assert server.journal.installed.status_keys == ""


def test_what_others_add_is_no_drift_whatever_its_encoding_and_stays(server: Machine) -> None:
    (server.root / "root").mkdir()
    file = told(server, KEY)
    added = f"ssh-rsa AAAA caf\xe9 {status_keys.MARK}\n\n".encode("latin-1")
    file.write_bytes(file.read_bytes() + added)
    assert differences(server) == []
    told(server)
    assert file.read_bytes() == added


def test_a_file_that_was_laid_for_another_user_is_found_again(server: Machine) -> None:
    (server.root / "root").mkdir()
    earlier = server.root / "home/me/.ssh/authorized_keys"
    earlier.parent.mkdir(parents=True)
    earlier.write_text(OWN + f'restrict,command="x" {KEY} {status_keys.MARK}\n')
    journal = server.journal
    journal.note_status_keys(str(earlier))
    journal.save()
    file = told(server, KEY)
    assert earlier.read_text() == OWN and KEY in file.read_text()
    assert server.journal.installed.status_keys == str(file)


def test_what_was_asked_for_arrives_as_one_argument_whatever_it_holds(server: Machine) -> None:
    """The line's command as sshd hands it to the user's shell, with python3 in place of the agent."""
    (server.root / "root").mkdir()
    line = told(server, KEY).read_text().splitlines()[-1]
    assert line.startswith('restrict,command="') and line.endswith(f'" {KEY} {status_keys.MARK}')
    command = line.removeprefix('restrict,command="').partition(f'" {KEY}')[0].replace('\\"', '"')
    show = command.replace(shlex.quote(str(server.layout.agent)), "-c 'import sys; print(sys.argv[1:])'")
    asked = "status $(touch /tmp/x); '\"`id`\nnewline"
    shown = subprocess.check_output(["sh", "-c", show], env={**os.environ, "SSH_ORIGINAL_COMMAND": asked}, text=True)
    assert shown.strip() == repr(["asked", "--", asked])


def test_the_programs_question_is_answered_without_its_settings() -> None:
    command = shlex.join(["sudo", "-n", "python3", "-c", "# agent 1: status\ncode", "status", "--phase", "live",
                          "--wait", "0", "--settings", '{"host": {"database": "/bin/evil"}}'])  # fmt: skip
    asked = question(command)
    assert asked.verb == "status" and asked.phase is Phase.LIVE and asked.document == {}
    assert question("status --wait inf").wait <= 300
    assert question("status --wait nan").wait <= 300
    told = question("status --settings=nothing --count --settings {} --phase live")
    assert told.count and told.phase is Phase.LIVE and told.document == {}


@pytest.mark.parametrize(
    "command",
    ["", "id", "sh -c status;id", "python3 agent.pyz converge --phase local", "status --phase nowhere", "status '",
     "status converge"],
)  # fmt: skip
def test_anything_else_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem, match="only ask for the status"):
        question(command)


@pytest.mark.parametrize("call", ["replace", "fsync", "fchown"])
def test_a_power_loss_leaves_the_users_own_keys_and_the_next_run_completes(
    server: Machine, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (server.root / "root").mkdir()
    file = told(server, KEY)
    file.write_text(OWN)

    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        with pytest.raises(KeyboardInterrupt):
            told(server, KEY)
    assert file.read_text() == OWN
    told(server, KEY)
    assert file.read_text().startswith(OWN) and KEY in file.read_text()
    status_keys.remove(server.run())
    assert file.read_text() == OWN
