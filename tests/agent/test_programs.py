"""The programs beside the agent are the pinned ones, wherever they come from, and none of the distribution's."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.host.fetch import fetch, what_differs
from agent.model import programs
from agent.model.errors import Problem
from agent.model.layout import Layout
from agent.model.programs import Program
from agent.model.settings import MountSettings, Settings
from agent.state.run import Server


def pinned(source: Path, data: bytes) -> Program:
    """rclone, to be had from a file with that content."""
    source.write_bytes(data)
    return Program("rclone", source.as_uri(), hashlib.sha256(data).hexdigest())


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
    return file.getvalue()


def test_another_file_than_the_pinned_one_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    program = pinned(tmp_path / "source", b"binary")._replace(sha256="0" * 64)
    with pytest.raises(Problem, match="has SHA-256 .*, not 000"):
        fetch(program, tmp_path / "rclone")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_program_is_fetched_once_and_runs(tmp_path: Path) -> None:
    program, target = pinned(tmp_path / "source", b"#!/bin/sh\necho hello\n"), tmp_path / "rclone"
    assert what_differs(program, target) == "is missing"
    assert fetch(program, target) and subprocess.check_output([target], text=True) == "hello\n"
    (tmp_path / "source").unlink()
    assert not fetch(program, target), "it is not asked for again"


def test_an_archive_as_rclone_is_published_gives_the_program_in_it(tmp_path: Path) -> None:
    data = zipped("rclone-v1-linux-amd64/README.txt", "rclone-v1-linux-amd64/rclone", "rclone-v1-linux-amd64/rclone.1")
    program, target = pinned(tmp_path / "source", data), tmp_path / "rclone"
    assert fetch(program, target)
    assert target.read_text() == "content of rclone-v1-linux-amd64/rclone" and target.stat().st_mode & 0o777 == 0o755
    assert not fetch(program, target)
    target.write_bytes(b"edited by hand")
    assert what_differs(program, target) == "was changed"
    assert fetch(program, target) and not what_differs(program, target)
    target.chmod(0o700)
    target.chmod(0o755)
    assert not what_differs(program, target), "its content is what it was"


@pytest.mark.parametrize("names", [(), ("a/README",), ("a/rclone", "b/rclone")])
def test_an_archive_without_the_one_program_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(Problem, match="files called rclone -- set mount.rcloneUrl"):
        fetch(pinned(tmp_path / "source", zipped(*names)), tmp_path / "rclone")


def test_without_a_note_of_it_an_archive_is_fetched_again_and_counts_as_unchanged(tmp_path: Path) -> None:
    """The power failed after the program had its name, and before the note was written."""
    program, target = pinned(tmp_path / "source", zipped("a/rclone")), tmp_path / "rclone"
    fetch(program, target)
    (tmp_path / "rclone.json").unlink()
    assert not fetch(program, target) and (tmp_path / "rclone.json").exists()


def test_a_place_that_cannot_be_reached_is_told_with_the_way_round(tmp_path: Path) -> None:
    program = Program("goofys", "http://127.0.0.1:9/goofys", "ab" * 32)
    with pytest.raises(
        Problem, match=f"set mount.goofysUrl to file:///path/of/it and mount.goofysSha256 to {'ab' * 32}"
    ):
        fetch(program, tmp_path / "goofys")


@pytest.mark.parametrize(("machine", "end"), [("x86_64", "linux-amd64.zip"), ("aarch64", "linux-arm64.zip")])
def test_servers_of_both_processors_have_their_rclone(machine: str, end: str) -> None:
    found = programs.rclone(MountSettings(), machine)
    assert found.url.startswith("https://github.com/rclone/rclone/releases/download/v") and found.url.endswith(end)
    assert len(bytes.fromhex(found.sha256)) == 32


def test_a_processor_without_a_published_program_is_told_before_anything_is_fetched() -> None:
    with pytest.raises(Problem, match="processor armv7l -- set mount.rcloneUrl to rclone"):
        programs.wanted(MountSettings(program="rclone"), "armv7l")
    published = MountSettings(goofys_url="https://github.com/kahing/goofys/releases/download/v0.24.0/goofys")
    with pytest.raises(Problem, match="this server is aarch64 -- set mount.program to rclone"):
        programs.wanted(published, "aarch64")
    own = MountSettings(program="rclone", rclone_url="https://x/rclone", rclone_sha256="1" * 64)
    assert programs.wanted(own, "armv7l") == [Program("rclone", "https://x/rclone", "1" * 64)]


def test_where_an_update_was_interrupted_before_it_was_there_the_copying_program_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="armv7l"))
    program = pinned(tmp_path / "source", b"binary")
    (tmp_path / "usr/local/lib/matrix-media-store").mkdir(parents=True)
    mount = MountSettings(program="rclone", rclone_url=program.url, rclone_sha256=program.sha256)
    server = Server(Layout(tmp_path), Settings(mount=mount))
    assert server.rclone.read_bytes() == b"binary" and server.rclone == server.mount_program
