"""What was purged, by the word of a real PostgreSQL, asked as the playbook's tool asks it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.host.system import System

from ..agent import purging
from ..agent.conftest import Machine, new_server, server
from ..agent.moves import go
from ..agent.purging import Tables

__all__ = ["new_server", "server"]

USER = "postgres"


class PostgresTables:
    """Synapse's tables in a cluster of their own; `where` is a program that runs psql in it, like the playbook's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where = folder, str(folder / "cli-non-interactive")
        (self.bin,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        shutil.chown(folder, USER, USER)
        self.cluster("initdb", "--pgdata", str(folder / "data"), "--auth", "trust", "--username", "synapse")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        self.cluster("pg_ctl", "--pgdata", str(folder / "data"), "--options", options, "--wait", "start")
        Path(self.where).write_text(f'#!/bin/sh\nexec {self.bin}/psql --host {folder} --username synapse "$@"\n')
        Path(self.where).chmod(0o755)
        subprocess.run([self.where, "-d", "postgres", "-q", "-c", "CREATE DATABASE synapse"], check=True)

    def cluster(self, program: str, *arguments: str) -> None:
        argv = ["runuser", "-u", USER, "--", str(self.bin / program), *arguments]
        subprocess.run(argv, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            subprocess.run([self.where, "-d", "synapse", "-q", "-c", statement], check=True)

    def stop(self) -> None:
        self.cluster("pg_ctl", "--pgdata", str(self.folder / "data"), "--mode", "immediate", "stop")


@pytest.fixture
def tables() -> Iterator[PostgresTables]:
    # A socket's path is short.
    with tempfile.TemporaryDirectory(prefix="mms-pg-", ignore_cleanup_errors=True) as name:
        made = PostgresTables(Path(name))
        try:
            yield made
        finally:
            made.stop()


SCENES: list[Callable[[Machine, Tables], None]] = [
    purging.nothing_is_deleted_on_the_word_of_an_absence_here,
    purging.nothing_is_set_aside_on_the_word_of_an_absence_there,
    purging.purges_are_honoured_in_every_phase,
    purging.a_database_that_cannot_be_asked_deletes_nothing,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_with_a_real_postgresql(
    server: Machine, tables: PostgresTables, monkeypatch: pytest.MonkeyPatch, scene: Callable[[Machine, Tables], None]
) -> None:
    """Review, entries 7 and 8."""
    monkeypatch.setattr(server.system, "run", System().run)  # the client is a real program
    scene(server, tables)


def test_a_database_that_is_down_deletes_nothing(
    server: Machine, tables: PostgresTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.system, "run", System().run)
    purging.fill(server, tables)
    go(server, "mirror")
    purging.forget(tables, purging.PURGED)
    purging.lose_here(server, purging.PURGED)
    tables.cluster("pg_ctl", "--pgdata", str(tables.folder / "data"), "--mode", "immediate", "stop")
    go(server, "live")
    assert server.bucket.objects.items() >= purging.FILES.items()
    assert purging.named(server) == purging.paths_of(purging.PURGED)
    tables.cluster("pg_ctl", "--pgdata", str(tables.folder / "data"), "--wait", "start")
