"""The workflows are right by actionlint, pinned, and run nothing that does not work here too."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from operations.arguments import parser
from sandbox import parts
from sandbox.world import ROOT

FOLDER = ROOT / ".github"
FILES = [*FOLDER.glob("workflows/*.yml"), *FOLDER.glob("actions/*/action.yml")]


def test_actionlint_has_nothing_to_say() -> None:
    files = [file for file in FILES if file.parent.name == "workflows"]
    assert {file.stem for file in files} == {"test", "nightly", "preview", "up", "drift", "site", "release"}
    done = subprocess.run([parts.build("actionlint"), "-no-color", *files], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit_and_says_its_version() -> None:
    used = [line for file in FILES for line in file.read_text().splitlines() if "uses:" in line and "./" not in line]
    assert used
    for line in used:
        assert re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_the_commands_of_the_workflows_are_the_projects() -> None:
    text = "".join(file.read_text() for file in FILES)
    runs = re.findall(r"^ *- run: (?:sudo )?make ([a-z0-9 -]+)", text, re.MULTILINE)
    nightly = _workflow("nightly")["jobs"]["tests"]["strategy"]["matrix"]["target"]
    targets = {target for run in runs for target in run.split()} | {*nightly}
    known = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets == {"lint", "unit", "e2e", "nightly", "faults", "kills", "site", "release"} <= set(known)
    assert set(re.findall(r"-m ([a-z.]+)", text)) == {"operations.concerned", "mkdocs"}
    (words,) = re.findall(r"\.venv/bin/media-store (.*) \|\|", text, re.MULTILINE)
    assert parser().parse_args(shlex.split(words)).verb == "status"


def test_no_run_of_up_is_cancelled_and_a_forks_pull_request_is_not_previewed() -> None:
    up, preview = (_workflow(name) for name in ("up", "preview"))
    assert up["concurrency"]["cancel-in-progress"] is False and up["jobs"]["up"]["environment"]
    assert "head.repo.full_name == github.repository" in preview["jobs"]["stacks"]["if"]
    assert "secrets.SSH_KEY" not in (FOLDER / "workflows/preview.yml").read_text()


def test_up_shows_what_it_would_do_before_it_is_approved_and_only_on_main() -> None:
    """Review, entry 58."""
    jobs = _workflow("up")["jobs"]
    assert jobs["up"]["needs"] == "preview" and jobs["preview"]["if"] == "github.ref == 'refs/heads/main'"
    assert "environment" not in jobs["preview"] and "secrets.SSH_KEY" not in str(jobs["preview"])


def test_every_job_that_reaches_a_state_may_take_a_role_at_aws_and_drift_is_told_once() -> None:
    """Review, entry 58: no workflow keeps a key of AWS."""
    for name in ("preview", "up", "drift"):
        for job in _workflow(name)["jobs"].values():
            if "PULUMI_BACKEND_URL" in job.get("env", {}):
                assert job["permissions"]["id-token"] == "write"
                assert "aws-role" in str(job["steps"])
    text = "".join(file.read_text() for file in FILES)
    assert "secrets.AWS" not in text
    drift = _workflow("drift")["jobs"]
    assert drift["tell"]["if"] == "failure()" and drift["tell"]["permissions"] == {"issues": "write"}
    assert "refresh --preview-only --expect-no-changes" in str(drift["status"]["steps"])


def _workflow(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(Path(FOLDER, "workflows", f"{name}.yml").read_text()))
