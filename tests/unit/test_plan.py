"""What `media-store plan` says of the engine's events."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi import automation
from pulumi.automation.events import EngineEvent

from operations import changed, plan

URN = "urn:pulumi:prod::matrix-media-store::matrix-media-store:host:MediaServer$command:remote:Command::matrix-agent"


def event(**what: Any) -> EngineEvent:
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, **what})


def diagnostic(severity: str, message: str) -> EngineEvent:
    return event(diagnosticEvent={"message": message, "color": "raw", "severity": severity})


def step(op: str, kind: str = "command:remote:Command", diffs: list[str] | None = None) -> EngineEvent:
    metadata = {"op": op, "urn": URN, "type": kind, "provider": "", "diffs": diffs}
    return event(resourcePreEvent={"metadata": metadata, "planning": True})


def told(monkeypatch: pytest.MonkeyPatch, *events: EngineEvent) -> list[str]:
    said: list[str] = []

    def preview(stack: object, write: object, on_event: Any) -> None:
        for each in events:
            on_event(each)

    monkeypatch.setattr(changed, "preview", preview)
    plan.plan(automation.Stack, "live", said.append)  # type: ignore[arg-type]
    return said


def test_what_the_program_found_out_comes_first_and_then_what_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(
        monkeypatch,
        step("same"),
        diagnostic("info", "<{%reset%}>the server is in phase mirror; to reach live:<{%reset%}>\n"),
        diagnostic("info#err", "Traceback"),
        diagnostic("warning", "the server cannot be reached"),
        step("update", diffs=["create", "update"]),
        step("create", kind="pulumi:providers:command"),
    ) == [
        "the server is in phase mirror; to reach live:",
        "warning: the server cannot be reached",
        "pulumi up would:\n  update   matrix-agent, Command (create, update)",
    ]


def test_nothing_to_do_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, step("same")) == ["pulumi up would change nothing"]
