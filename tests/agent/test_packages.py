"""What is missing on the server comes from its own package manager, under the names that it has there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.model.errors import CommandFailed, Problem
from agent.setup import packages
from agent.setup.packages import PROGRAMS, install_packages

from .conftest import Machine


def on_a_machine_with(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    found = {name: f"/usr/bin/{name}" for name in programs}
    monkeypatch.setattr(shutil, "which", lambda name, path=None: found.get(name))


@pytest.mark.parametrize(
    ("there", "installed"),
    [
        (["apt-get"], ["fuse3", "rsync"]),
        (["dnf"], ["fuse", "fuse3", "rsync"]),
        (["dnf", "fusermount3", "rsync"], ["fuse"]),
        (["pacman"], ["fuse2", "fuse3", "rsync"]),
    ],
)
def test_each_package_manager_knows_the_programs_by_its_own_names(
    server: Machine, monkeypatch: pytest.MonkeyPatch, there: list[str], installed: list[str]
) -> None:
    on_a_machine_with(monkeypatch, *there)
    run: list[list[str]] = []
    monkeypatch.setattr(server.system, "run", lambda argv, **_: run.append(argv))
    install_packages(server.system, server.said.append)
    assert run[-1][0] == there[0] and [word for word in run[-1] if word in installed] == installed


def test_a_program_that_only_the_session_finds_is_missing(
    server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 17: a snap, or in /usr/local/bin; the units do not look there."""
    for program in (*PROGRAMS, "apt-get"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "UNITS_PATH", str(tmp_path / "bin"))
    run: list[list[str]] = []
    monkeypatch.setattr(server.system, "run", lambda argv, **_: run.append(argv))
    install_packages(server.system, server.said.append)
    assert {"fuse3", "rsync"} <= {*run[-1]}


def test_where_all_is_there_nothing_is_installed(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine_with(monkeypatch, "apt-get", *PROGRAMS)
    monkeypatch.setattr(server.system, "run", None)
    install_packages(server.system, server.said.append)


def test_a_package_that_is_not_to_be_had_is_told(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine_with(monkeypatch, "dnf")

    def fail(argv: list[str], **_: object) -> str:
        raise CommandFailed(argv, 1, "Error: Unable to find a match: fuse3")

    monkeypatch.setattr(server.system, "run", fail)
    with pytest.raises(Problem, match="Unable to find a match: fuse3.* -- install them by hand"):
        install_packages(server.system, server.said.append)


def test_a_machine_with_another_package_manager_is_told_what_is_missing(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine_with(monkeypatch)
    with pytest.raises(Problem, match="fusermount, fusermount3, rsync are missing.* by hand"):
        install_packages(server.system, server.said.append)
