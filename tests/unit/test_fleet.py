"""Many stacks side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from operations import fleet
from operations.fleet import Preview


def test_only_stacks_whose_configuration_is_kept_here_are_members(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet, "config_file", lambda name: tmp_path / name.rpartition("/")[2])
    (tmp_path / "prod").touch()
    (tmp_path / "staging").touch()
    assert fleet.members(["team/staging", "elsewhere", "team/prod"]) == ["team/prod", "team/staging"]


def test_the_summary_says_what_each_would_do_and_why_one_cannot_be_told() -> None:
    said = fleet.lines(
        [
            Preview("prod", "live", {}),
            Preview("staging", "mirror", {"update": 2, "create": 1}),
            Preview("new", "prepare", {}, "the server cannot be reached"),
            Preview("far", "live", {}, seen=False),
        ]
    )
    assert said[1:] == [
        "prod     live      change nothing",
        "staging  mirror    create 1, update 2",
        "new      prepare   FAIL: the server cannot be reached",
        "far      live      change nothing (the server cannot be reached: by its last known state)",
    ]
    assert "no stack" in fleet.lines([])[0]
