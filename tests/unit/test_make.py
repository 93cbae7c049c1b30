"""The make target that users run on their stacks, with a `pulumi` that writes down what it is asked."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

from sandbox.world import ROOT

PULUMI = """#!/bin/sh
echo "$@" >> "$LOG"
case "$2" in get) test -e "$LOG.key" ;; set) cat > "$LOG.key" ;; esac
"""


def make(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "pulumi"
    program.write_text(PULUMI)
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    return subprocess.run(["make", "-s", "sse-key", *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


def test_make_sse_key_sets_32_random_bytes_as_a_secret_once(tmp_path: Path) -> None:
    done = make(tmp_path, "STACK=prod")
    key = (tmp_path / "log.key").read_text()
    assert done.returncode == 0 and len(base64.b64decode(key, validate=True)) == 32
    log = (tmp_path / "log").read_text()
    assert "config set --secret --path store.sseCustomerKey --stack prod" in log
    assert key not in log + done.stdout + done.stderr and "keep a copy" in done.stdout
    again = make(tmp_path, "STACK=prod")
    assert again.returncode != 0 and "has store.sseCustomerKey already" in again.stderr
    assert (tmp_path / "log.key").read_text() == key


def test_make_sse_key_asks_for_the_stack(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode != 0 and "STACK=<name>" in done.stderr
