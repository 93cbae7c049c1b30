"""Many stacks side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from pulumi import automation

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


def told(kind: str, **outputs: object) -> automation.EngineEvent:
    """What the engine says of a resource's outputs in a preview, as its JSON has it."""
    new = {"type": kind, "urn": "urn", "id": "", "parent": "", "provider": "", "inputs": {}, "outputs": outputs}
    step = {"op": "create", "urn": "urn", "type": kind, "provider": "", "new": new}
    return automation.EngineEvent.from_json({"sequence": 1, "timestamp": 1, "resOutputsEvent": {"metadata": step}})


def test_whether_the_server_was_asked_is_the_stacks_own_output_and_no_sentence() -> None:
    stack = "pulumi:pulumi:Stack"
    assert not fleet.server_seen([told("other", serverSeen=True), told(stack, phase="live", serverSeen=False)])
    assert fleet.server_seen([told(stack, serverSeen=True)])
    assert fleet.server_seen([told(stack, phase="live")]), "the stack of an earlier version has no such output"
