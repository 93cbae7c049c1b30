"""Which stacks a pull request concerns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from operations.concerned import ROOT, concerned, stacks

KNOWN = {"stacks/Pulumi.a.yaml": "a", "stacks/Pulumi.b.yaml": "b"}


def test_examples_are_no_stacks() -> None:
    files = [Path("x/Pulumi.b.yaml"), Path("x/Pulumi.example-aws.yaml"), Path("x/Pulumi.a.yaml")]
    assert stacks(files) == KNOWN


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (["stacks/Pulumi.b.yaml", "docs/x.md"], ["b"]),
        (["stacks/Pulumi.gone.yaml"], []),
        (["README.md", "tests/agent/x.py"], []),
        (["agent/mirror.py"], ["a", "b"]),
        (["__main__.py"], ["a", "b"]),
        ([], []),
    ],
)
def test_a_stacks_own_file_concerns_it_and_the_program_all(changed: list[str], wanted: list[str]) -> None:
    assert concerned(KNOWN, changed) == wanted


def test_it_runs_without_anything_installed_and_says_where_there_is_no_such_commit() -> None:
    command = [sys.executable, "-S", "-m", "operations.concerned"]
    assert isinstance(json.loads(subprocess.check_output(command, cwd=ROOT)), list)
    unknown = subprocess.run([*command, "0" * 40], cwd=ROOT, text=True, capture_output=True)
    assert unknown.returncode == 2 and unknown.stdout == "" and unknown.stderr
