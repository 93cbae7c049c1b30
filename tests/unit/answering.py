"""For tests of `media-store init`: a person with answers, and a run that tells what the engine was told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from operations import init
from operations.workspace import ROOT, OperationError

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPq2Jg0XoBhBf1xEJ3Zs4xQyYJvWv1kWcQJ0m1jVb1aB"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"
#: What the engine was told: arguments, and the value on standard input.
Calls = list[tuple[tuple[str, ...], str]]
Made = Callable[..., Calls]


class Answers:
    """A person who answers each question as told, and else takes the default; who is asked more often is gone."""

    def __init__(self, **answers: str | list[str]) -> None:
        self.answers = {
            words.replace("_", " "): [answer] if isinstance(answer, str) else list(answer)
            for words, answer in answers.items()
        }
        self.asked: list[str] = []

    def ask(self, question: str, default: str = "") -> str:
        left = next((answers for words, answers in self.answers.items() if words in question), None)
        if left == [] or left is None and question in self.asked:
            raise OperationError("no answer; nothing was written -- answer each question")
        self.asked.append(question)
        return left.pop(0) if left else default

    def ask_secret(self, question: str) -> str:
        return self.ask(question)

    def agrees(self, question: str) -> bool:
        return self.ask(question) == "yes"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Runs `init` on a text, and gives what the engine was told; the lines it says are added to `said`, if given."""
    calls: Calls = []
    monkeypatch.setattr(init, "pulumi", lambda *arguments, value="": calls.append((arguments, value)))
    monkeypatch.setattr(init, "config_file", lambda name: ROOT / "stacks" / "never-there.yaml")
    key = tmp_path / "key"
    key.write_text(PRIVATE_KEY)

    def run(text: str | None, person: Answers | None = None, said: list[str] | None = None, **more: Any) -> Calls:
        file = tmp_path / "vars.yml" if text is not None else None
        if file:
            file.write_text(text or "")
        given = init.Given("prod", file, **{"private_key": key, "host_key": HOST_KEY, **more})
        init.init(given, person or Answers(), (said if said is not None else []).append)
        return calls

    return run


def plain(calls: Calls) -> dict[str, str]:
    """The settings that were set in plain text."""
    (arguments,) = [arguments for arguments, _ in calls if "set-all" in arguments]
    return dict(pair.split("=", 1) for pair in arguments if "=" in pair)


def secret(calls: Calls) -> dict[str, str]:
    """The settings that were set as secrets."""
    return {arguments[4]: value for arguments, value in calls if "--secret" in arguments}
