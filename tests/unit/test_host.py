"""What the program asks of the server, and how it reads the answer."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from components.host import observation, zipapp
from components.host.command import agent_text, last_json
from components.host.connection import Connection, Hop, Unreachable, known_hosts, ssh_config
from components.host.observation import Observation, ServerError, observe, plan_lines
from components.outputs import next_step, summary
from components.settings import parse

from .test_settings import GOOD

SERVER, JUMP = Hop("server.test", 2222, "root", "ssh-ed25519 AAAA"), Hop("jump.test", 22, "me", "ssh-ed25519 BBBB")
CONNECTION = Connection(SERVER, private_key="KEY\n")


def answering(monkeypatch: pytest.MonkeyPatch, output: str) -> dict[str, str]:
    """Make the server answer so; returns what it was asked."""
    asked: dict[str, str] = {}

    def ask(self: Connection, command: str, stdin: str, timeout: float) -> str:
        asked.update(command=command, stdin=stdin)
        return output

    monkeypatch.setattr(Connection, "ask", ask)
    return asked


@pytest.mark.parametrize(
    ("seen", "phase", "after"),
    [
        (Observation("mirror", 4, "2.aaaa"), "mirror", "2.aaaa"),
        (Observation("mirror", 4, "4.aaaa", running="live", running_after="4.bbbb"), "live", "4.bbbb"),
        (Observation("mirror", 5, "4.aaaa", running="live", running_after="4.bbbb"), "live", "4.bbbb"),
    ],
)
def test_the_text_is_that_of_the_run_that_did_it_where_all_is_done_or_under_way(
    seen: Observation, phase: str, after: str
) -> None:
    assert seen.start_from(phase).after == after


@pytest.mark.parametrize(
    ("seen", "phase", "generation"),
    [
        (Observation("local", 0, "0"), "prepare", "0"),
        (Observation("mirror", 4, "2.aaaa"), "live", "4"),
        (Observation("live", 5, "4.aaaa", settled=False), "live", "5"),
        (Observation("mirror", 5, "4.aaaa", running="live", running_after="4.bbbb"), "prepare", "5"),
    ],
)
def test_where_something_is_to_be_done_the_text_is_a_new_one_even_at_a_generation_seen_before(
    seen: Observation, phase: str, generation: str
) -> None:
    first, second = seen.start_from(phase).after, seen.start_from(phase).after
    assert first.startswith(f"{generation}.") and second.startswith(f"{generation}.") and first != second


def test_what_was_removed_or_edited_by_hand_makes_a_new_repair_and_what_was_not_none() -> None:
    well = Observation("live", 3, "2", repairs="aaaa")
    assert well.start_from("live").repairs == "aaaa"
    broken = Observation("live", 3, "2", repairs="aaaa", drift=["x.service is missing"])
    assert broken.start_from("live").repairs not in ("aaaa", broken.start_from("live").repairs)
    assert any("x.service is missing" in line for line in plan_lines(broken, "live"))
    assert Observation("local", 0, "0").start_from("live").repairs, "a new server gets all of it"


def test_status_is_asked_with_an_agent_that_comes_along_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"phase": "live", "generation": 3, "base": "2", "settled": True, "running": None, "store": {}}
    answer |= {"drift": ["x is missing"], "repairs": "aaaa", "stack": "test"}
    asked = answering(monkeypatch, "noise\n" + json.dumps(answer) + "\n")
    seen = observe(
        CONNECTION, phase="live", sections={"host": {"media_store": "/m"}, "copy": {"exclude": []}}, store={},
        preview=True,
    )  # fmt: skip
    assert (seen.phase, seen.generation, seen.drift, seen.repairs) == ("live", 3, ["x is missing"], "aaaa")
    assert list(json.loads(asked["stdin"])) == ["agent"]
    assert "status --phase live --wait 0 --check" in asked["command"]
    observe(CONNECTION, phase="live", sections={}, store={"access_key_id": "SECRET"}, preview=True)
    assert json.loads(asked["stdin"])["store"] == {"access_key_id": "SECRET"} and "SECRET" not in asked["command"]


def test_an_update_waits_for_a_run_to_another_phase_and_a_preview_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(
        monkeypatch,
        '{"phase": "live", "generation": 3, "base": "2", "settled": true, "store": {}, "drift": [], "repairs": "a", '
        '"stack": ""}',
    )
    observe(CONNECTION, phase="live", sections={}, store={"bucket": "b"}, preview=False)
    assert f"--wait {observation.WAIT_SECONDS}" in asked["command"] and "--check" not in asked["command"]
    assert list(json.loads(asked["stdin"])) == ["agent"], "an update checks by itself"


def test_a_server_that_cannot_say_is_an_error_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "bash: python3: command not found")
    with pytest.raises(ServerError, match="python3: command not found"):
        observe(CONNECTION, phase="live", sections={}, store={}, preview=True)
    answering(monkeypatch, "progress\nerror: one thing -- mend it\nerror: another -- mend it too\n")
    with pytest.raises(ServerError, match="^one thing -- mend it; another -- mend it too$"):
        observe(CONNECTION, phase="live", sections={}, store={}, preview=True)


def test_the_agent_really_runs_from_standard_input_alone() -> None:
    text = agent_text("root", "status", "--version", piped=True)
    words = shlex.split(text)
    assert words[0] == "python3"
    done = subprocess.run(
        [sys.executable, *words[1:2], words[2], "--version"],
        input=json.dumps({"agent": zipapp.encoded()}), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == zipapp.sha256()[:12], done.stderr


def test_ssh_gets_the_pinned_key_only_and_no_secret_as_an_argument_or_in_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def run(argv: list[str], env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen["words"] = [*argv, *env.values()]
        folder = Path(argv[argv.index("-F") + 1]).parent
        seen["files"] = {file.name: (file.read_text(), stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()}
        asked = subprocess.Popen([env["SSH_ASKPASS"], "Enter passphrase"], env=env, stdout=subprocess.PIPE, text=True)
        seen["answer"] = asked.communicate()[0]
        return subprocess.CompletedProcess(argv, 255, "", "kex: Host key verification failed.\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Unreachable, match="Host key verification failed"):
        dataclasses.replace(CONNECTION, password="PASSWORD").ask("true", "", 5)
    assert seen["files"]["known_hosts"][0] == "server ssh-ed25519 AAAA\n"
    assert seen["files"]["key"][0] == "KEY\n" and seen["answer"] == "PASSWORD\n"
    assert {mode for _, mode in seen["files"].values()} == {0o600}
    assert not any("KEY" in word or "PASSWORD" in word for word in seen["words"])


def _asked(text: str, host: str) -> dict[str, str]:
    """What ssh itself makes of a configuration."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        shown = subprocess.check_output(["ssh", "-G", "-F", file.name, host], text=True)
    return dict(line.split(" ", 1) for line in shown.splitlines())


def test_ssh_understands_the_configuration_as_it_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / "with a blank"
    server = _asked(ssh_config(CONNECTION, folder), "server")
    assert server["hostname"] == "server.test" and server["port"] == "2222" and server["user"] == "root"
    assert server["stricthostkeychecking"] == "true" and server["batchmode"] == "yes"
    assert server["hostkeyalgorithms"] == "ssh-ed25519" and server["identitiesonly"] == "yes"
    assert (
        server["identityfile"] == f"{folder}/key" and server["userknownhostsfile"].strip('"') == f"{folder}/known_hosts"
    )
    assert "proxyjump" not in server

    through = dataclasses.replace(CONNECTION, jump=JUMP)
    assert _asked(ssh_config(through, folder), "server")["proxyjump"] == "jump"
    jump = _asked(ssh_config(through, folder), "jump")
    assert jump["hostname"] == "jump.test" and jump["user"] == "me" and "proxyjump" not in jump
    assert jump["stricthostkeychecking"] == "true" and jump["hostkeyalias"] == "jump"
    assert known_hosts(through) == "server ssh-ed25519 AAAA\njump ssh-ed25519 BBBB\n"

    agent = _asked(ssh_config(Connection(SERVER), folder), "server")
    assert agent["identitiesonly"] == "no" and agent["identityfile"] == "none"


def test_the_last_json_line_counts() -> None:
    assert last_json('{"a": 1}\nnoise\n{"b": 2}\n') == {"b": 2}
    assert last_json("") == last_json(None) == {}


@pytest.mark.parametrize("phase", ["prepare", "mirror", "live", "clean"])
def test_each_phase_names_the_next_step_with_its_command(phase: str) -> None:
    assert "pulumi config set phase" in next_step(phase, parse(GOOD))


def test_the_summary_says_how_much_for_how_long_and_where_the_local_copy_is() -> None:
    verdict = {
        "phase": "live", "files": 1095, "bytes": 131054553, "window_seconds": 0.34, "services_stopped_seconds": 1.46,
    }  # fmt: skip
    assert summary(verdict, "/m/media-store") == (
        "1,095 files, 131.1 MB were compared equal on both sides; services were stopped for 1.5 s (window 0.3 s); "
        "the local copy is /m/media-store-local-backup: keep it until you are confident"
    )
    assert summary({"phase": "prepare"}, "/m/media-store") == ""


def test_the_zipapp_has_every_file_of_the_agent() -> None:
    with zipfile.ZipFile(io.BytesIO(zipapp.build())) as archive:
        packed = {name for name in archive.namelist() if name.startswith("agent/")}
    agent = Path(zipapp.AGENT)
    there = {f"agent/{path.relative_to(agent)}" for path in agent.rglob("*") if path.is_file()}
    assert {name for name in there if "__pycache__" not in name} <= packed
