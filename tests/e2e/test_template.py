"""`pulumi new` makes a project with a name of one's own of this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from sandbox import engine
from sandbox.world import ROOT


def test_pulumi_new_makes_a_project_of_ones_own_in_which_the_command_works(tmp_path: Path) -> None:
    template, folder = tmp_path / "template", tmp_path / "media"
    template.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=template, input=archive, check=True)
    env = {**engine.environment(), "PULUMI_BACKEND_URL": tmp_path.as_uri()}

    def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=cwd, env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL)

    made = run(
        engine.pulumi(), "new", template, "--dir", folder, "--name", "our-media", "--generate-only", "--yes", cwd=ROOT
    )
    assert made.returncode == 0 and "media-store init --stack prod" in made.stdout, made.stdout + made.stderr
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    assert project["name"] == "our-media" and "template" not in project
    asked = run(sys.executable, "-m", "operations", "status", "--stack", "nobody", cwd=folder)
    assert asked.returncode == 2 and asked.stderr.startswith("error: there is no stack 'nobody'"), asked.stderr
    first = run(engine.pulumi(), "stack", "init", "prod", cwd=folder)
    assert first.returncode == 0, first.stderr
    run(engine.pulumi(), "config", "set", "phase", "mirror", cwd=folder)
    assert "our-media:phase: mirror" in (folder / "stacks/Pulumi.prod.yaml").read_text()
    told = run(sys.executable, "-m", "operations", "history", "--stack", "prod", cwd=folder)
    assert told.returncode == 0, told.stderr
