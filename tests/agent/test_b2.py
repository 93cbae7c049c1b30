"""Backblaze's own command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from agent.copying import b2
from agent.copying.transfer import method

from .stores import STORE


def test_the_b2_command_is_that_of_the_manual_procedure_and_gets_its_key_from_the_environment() -> None:
    argv = b2.sync_argv(Path("/b2"), Path("/src"), "media", ["url_cache", "url_cache_thumbnails"], 20)
    assert argv == [
        "/b2", "sync", "--threads", "20", "--no-progress", "--skip-newer", "--exclude-all-symlinks",
        "--exclude-dir-regex", r"^(\.matrix\-media\-store.*|lost\+found|url_cache|url_cache_thumbnails)$", "/src", "b2://media",
    ]  # fmt: skip
    env = b2.environment(STORE, Path("/tmp/info"))
    assert env == {
        "B2_APPLICATION_KEY_ID": "ID", "B2_APPLICATION_KEY": "SECRET-KEY", "B2_ACCOUNT_INFO": "/tmp/info",
    }  # fmt: skip
    api = dataclasses.replace(STORE, b2_api="http://b2.test")
    assert b2.environment(api, Path("/i"))["B2_ENVIRONMENT"] == "http://b2.test"


def test_what_b2_left_is_copied_by_rclone() -> None:
    assert [method("b2", first) for first in (True, False)] == ["b2", "rclone"]
    assert [method("rsync", first) for first in (True, False)] == ["rsync", "rsync"]


def test_the_b2_command_line_is_pinned_with_checksums_for_every_python_the_agent_runs_on() -> None:
    text = (Path(b2.__file__).parent / b2.REQUIREMENTS).read_text()
    assert "b2==4" in text and "b2==5" in text, "one for Python 3.9, one for newer"
    packages = [line for line in text.splitlines() if "==" in line]
    assert packages and all(line.endswith("\\") for line in packages), "each is followed by its hashes"
