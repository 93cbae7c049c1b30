"""A mount that nobody uses yet looks at its upper folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.serving import warm

from .conftest import Machine


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed."""
    found: list[str] = []
    scan = os.scandir

    def noted(path: str) -> Any:
        found.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", noted)
    return found


def lay(place: Path) -> None:
    for folder in ("local_content/aa/bb", "local_content/ab/cc/dd", "remote_content/example.com/aa"):
        (place / folder).mkdir(parents=True)
    (place / "local_content/a file").write_text("x")
    (place / "local_content/a link").symlink_to(place / "remote_content")


def test_the_two_upper_levels_are_listed_and_no_link_is_followed(
    server: Machine, tmp_path: Path, listed: list[str]
) -> None:
    place = tmp_path / "mount"
    lay(place)
    warm.look_around(server.agent, server.journal.owner, place)
    names = {os.path.relpath(path, place) for path in listed}
    assert names == {
        ".", "local_content", "remote_content",
        "local_content/aa", "local_content/ab", "remote_content/example.com",
    }  # fmt: skip


def test_no_more_are_listed_than_so_many_and_none_once_the_time_is_over(
    server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[str]
) -> None:
    place = tmp_path / "mount"
    lay(place)
    monkeypatch.setattr(warm, "MOST", 2)
    warm.look_around(server.agent, server.journal.owner, place)
    assert len(listed) == 5, "the mount, the two kinds of media, and two below"
    listed.clear()
    monkeypatch.setattr(warm, "SECONDS", -1.0)
    warm.look_around(server.agent, server.journal.owner, place)
    assert listed == []


def test_a_mount_that_does_not_answer_is_no_error(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(uid: int, gid: int, action: Callable[[], Any], timeout: float = 30) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(server.system, "as_user", hangs)
    warm.look_around(server.agent, server.journal.owner, server.store)
