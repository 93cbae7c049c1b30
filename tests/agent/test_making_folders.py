"""A process that stopped as it made a folder is told apart from one that stopped elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host import control_groups
from agent.host.system import System

MAKES = "import os, sys\nwhile True: os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1])"
WAITS = "import time\nwhile True: time.sleep(10)"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Two groups with a process each: one makes folders all the time, the other waits."""
    monkeypatch.setattr(control_groups, "GROUPS", tmp_path)
    started = {
        name: subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "made")])
        for name, program in (("makes", MAKES), ("waits", WAITS))
    }
    for name, process in started.items():
        below = tmp_path / name / "below"
        below.mkdir(parents=True)
        (below / "cgroup.procs").write_text(f"{process.pid}\n")
    yield {name: process.pid for name, process in started.items()}
    for process in started.values():
        process.kill()
        process.wait()


def still(process: int, at: int) -> None:
    os.kill(process, signal.SIGCONT)
    time.sleep(0.0003 * (at % 7))  # another moment each time
    os.kill(process, signal.SIGSTOP)
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


@pytest.mark.skipif(os.uname().machine not in control_groups._MAKE_FOLDERS, reason="its calls have other numbers")
def test_who_stopped_as_it_made_a_folder_is_found_and_nobody_else(groups: dict[str, int]) -> None:
    system, found = System(), set[str]()
    for at in range(2000):
        for process in groups.values():
            still(process, at)
        assert system.making_folders(["/waits"]) == []
        found |= {*system.making_folders(["/makes", "/waits"])}
        if found and at > 20:
            break
    assert found == {str(groups["makes"])}


def test_a_group_that_is_gone_makes_nothing(groups: dict[str, int]) -> None:
    assert System().making_folders(["/nowhere"]) == []
