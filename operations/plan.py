"""This module says what `pulumi up` would do, in lines for people: what the program found out, and what changes."""

from __future__ import annotations

import re
from collections.abc import Callable

from pulumi import automation

from . import changed

#: How the engine marks colours in a text.
_COLOURS = re.compile(r"<\{%.*?%\}>")
#: Kinds of change that are none.
_SAME = ("same", "read", "refresh")


def plan(stack: automation.Stack, phase: str, say: Callable[[str], None]) -> None:
    """Preview a stack, as if it said `phase` where that is not empty, and say what it would do.

    Raises OperationError where the preview fails.
    """
    steps: list[str] = []

    def event(told: automation.EngineEvent) -> None:
        if told.diagnostic_event and (line := message(told.diagnostic_event.severity, told.diagnostic_event.message)):
            say(line)
        if told.resource_pre_event and (line := step(told.resource_pre_event.metadata)):
            steps.append(line)

    changed.preview(stack, changed.to_phase(stack, phase), event)
    say("\n".join(["pulumi up would:", *steps] if steps else ["pulumi up would change nothing"]))


def message(severity: str, text: str) -> str:
    """Return what the program says to people, in a line; it is empty for what is for programs. It is pure."""
    said = _COLOURS.sub("", text).strip()
    if not said or severity not in ("info", "warning"):
        return ""
    return f"warning: {said}" if severity == "warning" else said


def step(metadata: automation.StepEventMetadata) -> str:
    """Return what would be done to a resource, in a line; it is empty for nothing. It is pure."""
    if metadata.op.value in _SAME or metadata.type.startswith("pulumi:"):
        return ""
    name, kind = metadata.urn.rpartition("::")[2], metadata.type.rpartition(":")[2]
    what = f" ({', '.join(metadata.diffs)})" if metadata.diffs else ""
    return f"  {metadata.op.value:<8} {name}, {kind}{what}"
