"""While nothing happens, next to nothing is asked of the store: it may bill each request."""

from __future__ import annotations

import os

import pytest

from agent.model.phases import Side
from agent.serving import probe, watchdog
from agent.state.journal import Journal
from agent.state.records import Owner

from .conftest import Machine


def day_of_requests(server: Machine, monkeypatch: pytest.MonkeyPatch, well: bool) -> int:
    """How often the store is asked within a day, while the mount is well, or the store silent."""
    now, asked = [0.0], [0]

    class Over(Exception):
        pass

    def pause(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 86_400:
            raise Over

    def why_not_read(*_: object) -> str:
        asked[0] += 1
        return "" if well else "no answer within 8 s"

    def store_answers(*_: object) -> bool:
        asked[0] += 1
        return False

    server.hold(serving=Side.BUCKET)
    server.system.mounts.add(server.store)
    monkeypatch.setattr(server.system, "pause", pause)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(probe, "why_not_read", why_not_read)
    monkeypatch.setattr(probe, "why_dead", lambda *_: "")
    monkeypatch.setattr(watchdog, "_store_answers", store_answers)
    with pytest.raises(Over):
        watchdog.watch(lambda: server.agent)
    return asked[0]


def test_at_rest_the_store_is_asked_once_a_minute(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, entry 27: it was asked three times every five seconds, which stores bill, and B2 stops serving for."""
    assert 1000 < day_of_requests(server, monkeypatch, well=True) < 2000


def test_a_silent_store_is_not_asked_without_end(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert day_of_requests(server, monkeypatch, well=False) < 7000


def test_a_program_that_is_gone_is_seen_without_a_request(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "statvfs", lambda path: asked.append(str(path)))
    monkeypatch.setattr(Journal, "owner", Owner(0, 0))
    assert probe.why_dead(server.system, Owner(0, 0), server.store, 8) == probe.NOT_MOUNTED
    server.system.mounts.add(server.store)
    assert probe.why_dead(server.system, Owner(0, 0), server.store, 8) == "" and asked == [str(server.store)]
