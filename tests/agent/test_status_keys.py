"""Keys that may ask for the status: laid beside the user's own, found again, and good for nothing else."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess

import pytest

from agent import __main__, status_keys
from agent.errors import Problem

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP+v+vLzkitswSTbYJG+0NsKERYais1wbZIFA7M5SdRJ"
OWN = "# mine\nssh-rsa AAAA me@home\n"


def told(context, *keys):
    host = dataclasses.replace(context.settings.host, status_keys=list(keys))
    context.settings = dataclasses.replace(context.settings, host=host)
    status_keys.lay(context)
    return context.places.root / "root/.ssh/authorized_keys"


def test_keys_are_laid_beside_the_users_own_and_go_without_a_trace(server):
    context = server.context()
    (context.places.root / "root").mkdir()
    file = told(context, KEY)
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text(OWN.removesuffix("\n"))
    file.chmod(0o644)
    assert status_keys.differences(context) != []
    told(context, KEY)
    assert file.read_text().startswith(OWN) and file.stat().st_mode & 0o777 == 0o644
    assert status_keys.differences(context) == []
    told(context)
    assert file.read_text() == OWN and status_keys.differences(context) == []
    assert "status_keys" not in context.journal.facts


def test_what_others_add_is_no_drift_whatever_its_encoding_and_stays(server):
    context = server.context()
    (context.places.root / "root").mkdir()
    file = told(context, KEY)
    added = f"ssh-rsa AAAA caf\xe9 {status_keys.MARK}\n\n".encode("latin-1")
    file.write_bytes(file.read_bytes() + added)
    assert status_keys.differences(context) == []
    told(context)
    assert file.read_bytes() == added


def test_a_file_that_was_laid_for_another_user_is_found_again(server):
    context = server.context()
    (context.places.root / "root").mkdir()
    earlier = context.places.root / "home/me/.ssh/authorized_keys"
    earlier.parent.mkdir(parents=True)
    earlier.write_text(OWN + f'restrict,command="x" {KEY} {status_keys.MARK}\n')
    context.journal.facts["status_keys"] = str(earlier)
    file = told(context, KEY)
    assert earlier.read_text() == OWN and KEY in file.read_text()
    assert context.journal.facts["status_keys"] == str(file)


def test_what_was_asked_for_arrives_as_one_argument_whatever_it_holds(server):
    """The line's command as sshd hands it to the user's shell, with python3 in place of the agent."""
    context = server.context()
    (context.places.root / "root").mkdir()
    line = told(context, KEY).read_text().splitlines()[-1]
    assert line.startswith('restrict,command="') and line.endswith(f'" {KEY} {status_keys.MARK}')
    command = line.removeprefix('restrict,command="').partition(f'" {KEY}')[0].replace('\\"', '"')
    show = command.replace(shlex.quote(str(context.places.agent)), "-c 'import sys; print(sys.argv[1:])'")
    asked = "status $(touch /tmp/x); '\"`id`\nnewline"
    shown = subprocess.check_output(["sh", "-c", show], env={**os.environ, "SSH_ORIGINAL_COMMAND": asked}, text=True)
    assert shown.strip() == repr(["asked", "--", asked])


def test_the_programs_question_is_answered_without_its_settings():
    command = shlex.join(["sudo", "-n", "python3", "-c", "# agent 1: status\ncode", "status", "--phase", "live",
                          "--wait", "0", "--settings", '{"host": {"database": "/bin/evil"}}'])  # fmt: skip
    asked = status_keys.question(__main__.parser(), command)
    assert asked.verb == "status" and asked.phase == "live" and asked.settings == "{}"
    assert status_keys.question(__main__.parser(), "status --wait inf").wait <= 300


@pytest.mark.parametrize(
    "command",
    ["", "id", "sh -c status;id", "python3 agent.pyz converge --phase local", "status --phase nowhere", "status '",
     "status converge"],
)  # fmt: skip
def test_anything_else_is_refused(command, capsys):
    with pytest.raises(Problem, match="only ask for the status"):
        status_keys.question(__main__.parser(), command)


@pytest.mark.parametrize("call", ["replace", "fsync", "fchown"])
def test_a_power_loss_leaves_the_users_own_keys_and_the_next_run_completes(server, monkeypatch, call):
    context = server.context()
    (context.places.root / "root").mkdir()
    file = told(context, KEY)
    file.write_text(OWN)

    def fails(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        with pytest.raises(KeyboardInterrupt):
            told(context, KEY)
    assert file.read_text() == OWN
    again = server.context()
    told(again, KEY)
    assert file.read_text().startswith(OWN) and KEY in file.read_text()
    status_keys.remove(again)
    assert file.read_text() == OWN
