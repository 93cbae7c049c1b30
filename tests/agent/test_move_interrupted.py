"""A move that is interrupted anywhere leaves one store that serves and has all, and the next run ends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.model.layout import MOUNT_UNIT
from agent.model.phases import Owed, Side
from agent.state.run import Server

from .conftest import Machine, NewServer
from .holding import boot, recovered, stopped, struck
from .moves import FILES
from .moving import NEW, OLD, ask, change, files_in, go_on, pretend, said_to_be_live, served, told


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)


def each_end(new_server: NewServer) -> Iterator[tuple[int, Machine]]:
    yield from struck(new_server, said_to_be_live, change)


def check_one_serves_and_has_all(server: Machine, at: int) -> None:
    name = served(server)
    assert files_in(server.buckets[name]).items() >= FILES.items(), (at, name)
    assert server.journal.serving is Side.BUCKET and server.journal.window is None, at
    assert Server.load(server.layout).settings.store.bucket == name, at


def test_a_power_loss_at_any_operation_leaves_one_store_that_serves_and_has_all(new_server: NewServer) -> None:
    for at, server in each_end(new_server):
        boot(told(server))
        check_one_serves_and_has_all(server, at)


def test_an_agent_that_is_killed_at_any_operation_leaves_one_store_that_serves_and_the_next_run_ends_it(
    new_server: NewServer,
) -> None:
    for at, server in each_end(new_server):
        recovered(told(server))
        assert not server.system.frozen_groups and not stopped(server), at
        check_one_serves_and_has_all(server, at)
        if Owed.LEFT not in server.journal.owed and served(server) == OLD:
            ask(told(server))
        if server.layout.moving.exists():
            go_on(server)
        assert served(server) == NEW and server.system.origin[server.store] == MOUNT_UNIT, at
        assert not server.journal.owed and files_in(server.buckets[NEW]).items() >= FILES.items(), at
