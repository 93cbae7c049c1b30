"""What costs nothing. Timed before the tests that kill engines, whose remains take time from others."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import Migration, synapse_started

#: Seconds are the machine's, a ratio is the program's: 3.9 s beside 2.2 s is 1.8.
TIMES_AN_EMPTY_PROGRAM = 2.2


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Stack]:
    """A stack of a program that declares nothing: what the engine and its language host cost by themselves."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        "name: empty\nstackConfigDir: stacks\nruntime:\n  name: python\n  options:\n    virtualenv: .venv\n"
    )
    (tmp_path / "__main__.py").write_text("import pulumi\n")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    stack = Stack("sandbox-empty", root=tmp_path)
    stack.create({}, {})
    stack.must("up", "--yes", "--skip-preview")
    yield stack
    stack.remove()


def timed(stack: Stack) -> tuple[float, str]:
    """Seconds of an `up`, and what it printed."""
    start = time.monotonic()
    output = stack.must("up", "--yes", "--skip-preview", "--json")
    return time.monotonic() - start, output


@pytest.mark.alone
def test_an_unchanged_stack_runs_no_command_and_takes_hardly_longer_than_an_empty_one(
    live: Migration, empty: Stack
) -> None:
    since, seconds, of_empty = synapse_started(), [], []
    for _ in range(5):
        of_empty.append(timed(empty)[0])
        took, output = timed(live.stack)
        seconds.append(took)
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        changes = next(event["summaryEvent"]["resourceChanges"] for event in events if "summaryEvent" in event)
        assert set(changes) == {"same"}
    assert synapse_started() == since
    assert statistics.median(seconds) < TIMES_AN_EMPTY_PROGRAM * statistics.median(of_empty), (seconds, of_empty)
