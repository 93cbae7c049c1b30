"""The oldest Python that the agent runs on: Debian 11's 3.9, in a tree of its own."""

from __future__ import annotations

import shutil
import subprocess

from .world import HOME, ROOT, run, tell

SUITE, VERSION = "bullseye", "3.9"
TREE = HOME / "python39"
#: systemd is there for its check of unit files.
PACKAGES = "python3,systemd"
REQUIREMENTS = ROOT / "tests/agent/requirements-3.9.txt"
#: Where the libraries of the tests lie in the tree; those that it was made with.
_LIBRARIES = TREE / "opt/libraries"
_MADE_WITH = TREE / "opt" / REQUIREMENTS.name


def build() -> None:
    """Once for each list of libraries; raises what `run` does where a package cannot be had."""
    if _MADE_WITH.exists() and _MADE_WITH.read_bytes() == REQUIREMENTS.read_bytes():
        return
    tell("making a tree with Debian 11's Python 3.9 (about 1 min) ...")
    shutil.rmtree(TREE, ignore_errors=True)
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, TREE)
    run(
        ROOT / ".venv/bin/pip", "install", "--quiet", "--target", _LIBRARIES, "--python-version", VERSION,
        "--implementation", "cp", "--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement", REQUIREMENTS,
    )  # fmt: skip
    shutil.copy(REQUIREMENTS, _MADE_WITH)


def run_the_agents_tests() -> subprocess.CompletedProcess[str]:
    """Run the agent's tests there, on this checkout; without a network."""
    build()
    return subprocess.run(
        [
            "systemd-nspawn", "--quiet", "--directory", TREE, "--register=no", "--keep-unit", "--private-network",
            "--pipe", f"--bind-ro={ROOT}:/project", "--setenv=PYTHONPATH=/opt/libraries",
            "--setenv=PYTHONDONTWRITEBYTECODE=1", "--chdir=/tmp",
            "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=/project", "-c",
            "/project/pyproject.toml", "/project/tests/agent",
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
