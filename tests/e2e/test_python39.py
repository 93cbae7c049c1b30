"""The agent's own tests under the oldest Python that it promises, on a real one."""

from __future__ import annotations

import re

import pytest

from sandbox import python39


@pytest.mark.nightly
def test_the_agents_tests_pass_under_python_3_9(sandbox: None) -> None:
    done = python39.run_the_agents_tests()
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 300, done.stdout
