"""Many stacks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from components.host.last_known import is_strict
from operations import fleet
from operations.fleet import Preview


def test_only_stacks_whose_configuration_is_kept_here_are_members(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet, "config_file", lambda name: tmp_path / name.rpartition("/")[2])
    (tmp_path / "prod").touch()
    (tmp_path / "staging").touch()
    assert fleet.members(["team/staging", "elsewhere", "team/prod"]) == ["team/prod", "team/staging"]
    assert fleet.members(["team/staging", "team/prod"], ["team/p*"]) == ["team/prod"]


def test_a_stack_that_the_backend_does_not_know_is_named_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stacks").mkdir()
    for name in ("prod", "forgotten", "example-aws"):
        (tmp_path / f"stacks/Pulumi.{name}.yaml").touch()
    monkeypatch.setattr(fleet, "ROOT", tmp_path)
    assert fleet.unknown(["team/prod"]) == ["forgotten"]
    assert fleet.unknown(["team/prod", "forgotten"]) == []


def test_a_server_is_as_far_as_the_last_update_left_it_whatever_its_file_says() -> None:
    """A job of CI wrote `live` into a checkout that is gone: `fleet up --phase mirror` must not take it back."""
    for name, far in (("further", "live"), ("near", "mirror")):
        stack: Any = FakeStack(name)
        assert fleet._stands(stack, fleet._left(stack)) == ("mirror", far)


def test_the_summary_says_what_each_would_do_and_why_one_cannot_be_told() -> None:
    said = fleet.lines(
        [
            Preview("prod", "live", {}),
            Preview("staging", "mirror", {"update": 2, "create": 1}, left="prepare"),
            Preview("new", "prepare", {}, "the server cannot be reached"),
        ]
    )
    assert said[1:] == [
        "prod     live               change nothing",
        "staging  prepare -> mirror  create 1, update 2",
        "new      prepare            FAIL: the server cannot be reached",
    ]
    assert "no stack" in fleet.lines([])[0]


def test_a_server_that_does_not_answer_fails_its_preview_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, entry 48: the program itself fails where it is told to be strict."""
    asked: dict[str, str] = {}

    def workspace(work_dir: str, env_vars: dict[str, str]) -> None:
        asked.update(env_vars)

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(automation, "LocalWorkspace", workspace)
    monkeypatch.setattr(automation.Stack, "select", lambda name, workspace: FakeStack(name))
    far, near = fleet.preview("far"), fleet.preview("near")
    assert (far.problem, near.problem) == ("the server far cannot be reached", "")
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert is_strict()


class FakeStack:
    def __init__(self, name: str) -> None:
        self.name = name

    def get_all_config(self) -> dict[str, automation.ConfigValue]:
        return {"matrix-media-store:phase": automation.ConfigValue("mirror")}

    def outputs(self) -> dict[str, automation.OutputValue]:
        return {"phase": automation.OutputValue("live", False)} if self.name == "further" else {}

    def preview(self) -> automation.PreviewResult:
        if self.name == "far":
            said = "Diagnostics:\n  error: the server far cannot be reached\n  error: an unhandled error occurred: x"
            raise automation.errors.CommandError(automation.CommandResult("", said, 1))
        return automation.PreviewResult("", "", {})
