"""That a file is absent proves nothing: only what Synapse's own tables know no longer was purged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.migration import changes, mirror
from agent.migration.window import Clock
from agent.model.errors import Problem
from agent.model.phases import Owed

from . import purging
from .conftest import Machine
from .moves import go
from .purging import SqliteTables, fill, forget, lose_here, named, paths_of
from .test_foreign import archive


@pytest.fixture
def tables(tmp_path: Path) -> SqliteTables:
    return SqliteTables(tmp_path / "homeserver.db")


def test_nothing_is_deleted_on_the_word_of_an_absence_here(server: Machine, tables: SqliteTables) -> None:
    """Review, entry 7."""
    purging.nothing_is_deleted_on_the_word_of_an_absence_here(server, tables)


def test_nothing_is_set_aside_on_the_word_of_an_absence_there(server: Machine, tables: SqliteTables) -> None:
    """Review, entry 8."""
    purging.nothing_is_set_aside_on_the_word_of_an_absence_there(server, tables)


def test_purges_are_honoured_in_every_phase(server: Machine, tables: SqliteTables) -> None:
    purging.purges_are_honoured_in_every_phase(server, tables)


def test_a_database_that_cannot_be_asked_deletes_nothing(server: Machine, tables: SqliteTables) -> None:
    purging.a_database_that_cannot_be_asked_deletes_nothing(server, tables)


def test_a_database_that_was_left_behind_long_ago_deletes_nothing(server: Machine, tables: SqliteTables) -> None:
    """Review, entry 36: the homeserver went to PostgreSQL, and `auto` found the old file, which knows most media."""
    fill(server, tables)
    for number in range(60):
        path = f"local_content/cc/dd/{number:04}"
        server.write(path, b"after the move to PostgreSQL")
        os.utime(server.store / path, (4_000_000_000, 4_000_000_000))  # its ctime is newer all the same
    go(server, "mirror")
    for number in range(5):
        (server.store / f"local_content/cc/dd/{number:04}").unlink()
    before = {*server.bucket.objects}
    go(server, "prepare")
    go(server, "mirror")
    assert {*server.bucket.objects} == before and any("not Synapse's database" in line for line in server.said)


def test_what_is_purged_in_the_window_leaves_the_bucket_once_the_services_run(
    server: Machine, tables: SqliteTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entries 8 and 30: nothing is removed in a window."""
    fill(server, tables)
    go(server, "mirror")
    real, purged = changes.in_window, paths_of(["aabb0007"])
    there: list[bool] = []

    def in_window(run: object, known: changes.Baseline, clock: Clock) -> changes.Found:
        lose_here(server, ["aabb0007"])
        forget(tables, ["aabb0007"])
        found = real(run, known, clock)  # type: ignore[arg-type]
        there.append({*purged} <= server.bucket.objects.keys())
        return found

    monkeypatch.setattr(changes, "in_window", in_window)
    server.system.on_start = lambda: there.append({*purged} <= server.bucket.objects.keys())
    go(server, "live")
    assert there[:2] == [True, True], "still there while the services were down"
    assert not {*purged} & server.bucket.objects.keys() and Owed.PURGES not in server.journal.owed


def test_clean_believes_only_names_of_ours_and_never_many(server: Machine, tables: SqliteTables) -> None:
    """Old media that an administrator brought back into the local copy are in no table, and nowhere else."""
    fill(server, tables)
    go(server, "live")
    for number in range(200):
        server.write(f"local_content/zz/yy/{number:04}", b"from tape", server.backup)
    with pytest.raises(Problem, match="200 files of the local copy are not in the bucket"):
        go(server, "clean")
    assert len(list((server.backup / "local_content/zz/yy").iterdir())) == 200


def test_what_nobody_accounts_for_does_not_use_up_the_limit(server: Machine, tables: SqliteTables) -> None:
    fill(server, tables)
    go(server, "mirror")
    tables.execute("DROP TABLE remote_media_cache")
    for name in list(purging.MEDIA)[:20]:
        forget(tables, [name])
        lose_here(server, [name])
        go(server, "prepare")
        go(server, "mirror")
    assert len(named(server)) == 40
    go(server, "live")
    assert server.bucket.objects.items() >= purging.FILES.items()


def test_what_was_purged_here_leaves_the_bucket_even_if_it_lies_in_an_archive(
    server: Machine, tables: SqliteTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To delete needs no reading: only what must come home one day is refused."""
    fill(server, tables)
    go(server, "mirror")
    forget(tables, ["aabb0007"])
    lose_here(server, ["aabb0007"])
    purged = paths_of(["aabb0007"])
    archive(server, monkeypatch, *purged)
    mirror.mirror(server.run())
    assert not {*purged} & server.bucket.objects.keys()
