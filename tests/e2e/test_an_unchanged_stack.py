"""What costs nothing. Timed before the tests that kill engines, whose remains take time from others."""

from __future__ import annotations

import json
import statistics
import time

import pytest

from .world import Migration, synapse_started


@pytest.mark.alone
def test_an_unchanged_stack_runs_no_command_and_takes_under_5_seconds(live: Migration) -> None:
    since, seconds = synapse_started(), []
    for _ in range(3):
        start = time.monotonic()
        output = live.stack.must("up", "--yes", "--skip-preview", "--json")
        seconds.append(time.monotonic() - start)
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        changes = next(event["summaryEvent"]["resourceChanges"] for event in events if "summaryEvent" in event)
        assert set(changes) == {"same"}
    assert statistics.median(seconds) < 5, seconds
    assert synapse_started() == since
