"""What costs nothing. Timed before the tests that kill engines, whose remains take time from others."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import Stack
from sandbox.world import HOST_KEY, ROOT, SERVER_ADDRESS, SSH_KEY

from .world import Migration, synapse_started

#: Seconds are the machine's, a ratio is the program's: 4.6 s beside 3.0 s is 1.5.
TIMES_A_SINGLE_COMMAND = 2.0

#: The least program that has anything to do with a server: what engine, language host and plugin cost by themselves.
PROGRAM = """
import pathlib
import pulumi_command as command
connection = command.remote.ConnectionArgs(
    host={host!r}, host_key={host_key!r}, private_key=pathlib.Path({private_key!r}).read_text()
)
command.remote.Command("nothing", connection=connection, create="true")
"""


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Stack]:
    """A stack of a program that declares one command."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        "name: single\nstackConfigDir: stacks\nruntime:\n  name: python\n  options:\n    virtualenv: .venv\n"
    )
    host_key = " ".join(HOST_KEY.with_suffix(".pub").read_text().split()[:2])
    (tmp_path / "__main__.py").write_text(
        PROGRAM.format(host=SERVER_ADDRESS, host_key=host_key, private_key=str(SSH_KEY))
    )
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    stack = Stack("sandbox-single", root=tmp_path)
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
def test_an_unchanged_stack_runs_no_command_and_takes_hardly_longer_than_a_single_command(
    live: Migration, single: Stack
) -> None:
    since, seconds, of_single = synapse_started(), [], []
    for _ in range(5):
        of_single.append(timed(single)[0])
        took, output = timed(live.stack)
        seconds.append(took)
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        changes = next(event["summaryEvent"]["resourceChanges"] for event in events if "summaryEvent" in event)
        assert set(changes) == {"same"}
    assert synapse_started() == since
    live.stack.must("preview", "--refresh", "--expect-no-changes")  # as the nightly job asks
    assert statistics.median(seconds) < TIMES_A_SINGLE_COMMAND * statistics.median(of_single), (seconds, of_single)
