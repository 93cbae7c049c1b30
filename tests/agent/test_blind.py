"""A homeserver whose namespace does not get the mount is told, and restarted where the mount came back without it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.host.beneath import Folder
from agent.model.phases import Side
from agent.serving import probe, store_in_use, watchdog

from .conftest import Machine
from .fakes import SYNAPSE
from .test_store_in_use import process


def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own view of the mount has no program any more."""
    real = Folder.metadata

    def metadata(self: Folder, path: str = "") -> os.stat_result:
        if path == "media-store":
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return real(self, path)

    monkeypatch.setattr(Folder, "metadata", metadata)


def test_a_process_that_keeps_a_dead_mount_or_sees_the_bare_mount_point_is_known(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 38."""
    folder = process(server, "media_store_path: /media-store\n")
    seen = folder / "root/media-store"
    seen.mkdir(mode=0o750)
    assert store_in_use.without_mount(server.agent) == []
    seen.chmod(0)
    assert store_in_use.without_mount(server.agent) == ["4711"]
    seen.chmod(0o750)
    dead(monkeypatch)
    assert store_in_use.without_mount(server.agent) == ["4711"]


class Over(Exception):
    """The time of the test is over."""


def hours_of(server: Machine, monkeypatch: pytest.MonkeyPatch, hours: float) -> list[str]:
    """What the watchdog restarts in that time, while the mount is well."""
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds
        if now[0] > hours * 3600:
            raise Over

    server.hold(serving=Side.BUCKET)
    server.system.mounts.add(server.store)
    monkeypatch.setattr(server.system, "pause", pause)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for question in ("why_not_read", "why_dead"):
        monkeypatch.setattr(probe, question, lambda *_: "")
    server.system.log.clear()
    with pytest.raises(Over):
        watchdog.watch(lambda: server.agent)
    return [line for line in server.system.log if "restart" in line]


def test_services_that_do_not_see_the_mount_are_restarted_once_an_hour(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = process(server, "media_store_path: /media-store\n")
    (folder / "root/media-store").mkdir(mode=0)
    assert hours_of(server, monkeypatch, 2.5) == [f"--no-block try-restart {SYNAPSE}"] * 3
    (folder / "root/media-store").chmod(0o750)
    assert hours_of(server, monkeypatch, 2.5) == []


def test_one_look_at_it_is_not_enough(server: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = process(server, "media_store_path: /media-store\n")
    (folder / "root/media-store").mkdir(mode=0)
    assert hours_of(server, monkeypatch, 0.01) == []
