"""A release: its version, its notes, and files whose checksums hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from components.host import zipapp
from operations import release
from operations.workspace import OperationError
from sandbox.world import ROOT

CHANGELOG = """\
# Changelog

## 1.2.0 - 2026-12-01

- New things.

## 1.1.0 - 2026-11-01

- Old things.
"""


def test_the_notes_are_what_the_changelog_says_of_that_version_alone() -> None:
    assert release.notes(CHANGELOG, "1.2.0") == "- New things.\n"
    assert release.notes(CHANGELOG, "1.1.0") == "- Old things.\n"
    with pytest.raises(OperationError, match=r"no section 1\.3\.0"):
        release.notes(CHANGELOG, "1.3.0")
    with pytest.raises(OperationError, match="not released yet"):
        release.notes(CHANGELOG.replace("2026-12-01", release.OPEN), "1.2.0")


def test_a_tag_of_another_version_is_refused() -> None:
    release.checked_tag("", "1.2.0")
    release.checked_tag("v1.2.0", "1.2.0")
    with pytest.raises(OperationError, match=r"the tag is v1\.1\.0, and pyproject\.toml says 1\.2\.0"):
        release.checked_tag("v1.1.0", "1.2.0")


def test_the_changelog_has_a_section_for_the_programs_version() -> None:
    assert f"\n## {release.version()}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_files_have_the_program_and_the_agent_that_it_sends_and_their_checksums_hold(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    names = release.lay(folder, "- New things.\n", "1.2.0")
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    with tarfile.open(folder / "matrix-media-store-1.2.0.tar.gz") as archive:
        listed = archive.getnames()
    assert "matrix-media-store-1.2.0/Pulumi.yaml" in listed and "matrix-media-store-1.2.0/agent/__main__.py" in listed
    told = subprocess.run([sys.executable, folder / "agent.pyz", "--version"], capture_output=True, text=True)
    assert told.stdout.strip() == zipapp.version()
