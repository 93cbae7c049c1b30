"""A server with a hundred media that Synapse's tables know, whichever database has them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from .conftest import Machine
from .moves import go

#: Paths of originals and of one thumbnail each, by media id.
MEDIA = {
    f"aabb{number:04}": (
        f"local_content/aa/bb/{number:04}",
        f"local_thumbnails/aa/bb/{number:04}/32-32-image-png-crop",
    )
    for number in range(50)
}
FILES = {path: path.encode() for paths in MEDIA.values() for path in paths}
TABLES = (
    "CREATE TABLE local_media_repository (media_id TEXT, created_ts BIGINT, media_length INTEGER, url_cache TEXT)",
    "CREATE TABLE remote_media_cache (media_origin TEXT, filesystem_id TEXT, created_ts BIGINT)",
)


class Tables(Protocol):
    """Synapse's tables."""

    #: As the setting host.database names them.
    where: str

    def execute(self, *statements: str) -> None: ...


class SqliteTables:
    """Synapse's tables in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, f"sqlite:{path}"

    def execute(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as db:
            for statement in statements:
                db.execute(statement)


def fill(server: Machine, tables: Tables) -> None:
    for path, body in FILES.items():
        server.write(path, body)
    rows = ",".join(f"('{name}', {number}, 9, NULL)" for number, name in enumerate(MEDIA))
    tables.execute(*TABLES, f"INSERT INTO local_media_repository VALUES {rows}")
    server.tell(host={"database": tables.where})


def forget(tables: Tables, names: Iterable[str]) -> None:
    """What Synapse does in its tables when it purges media."""
    tables.execute(*(f"DELETE FROM local_media_repository WHERE media_id = '{name}'" for name in names))


def paths_of(names: Iterable[str]) -> list[str]:
    return sorted(path for name in names for path in MEDIA[name])


def named(server: Machine) -> list[str]:
    """The files that nobody accounts for, as they were told."""
    path = server.layout.var / "unaccounted.txt"
    return path.read_text().splitlines() if path.exists() else []


LOST = list(MEDIA)[10:20]
PURGED = list(MEDIA)[30:33]


def lose_here(server: Machine, names: Iterable[str]) -> None:
    for path in paths_of(names):
        (server.store / path).unlink()


def lose_there(server: Machine, names: Iterable[str]) -> None:
    for path in paths_of(names):
        del server.bucket.objects[path]


def nothing_is_deleted_on_the_word_of_an_absence_here(server: Machine, tables: Tables) -> None:
    """A disk set back, fsck, a wrong rm: twenty files are gone here, and the tables know them all."""
    fill(server, tables)
    go(server, "mirror")
    lose_here(server, LOST)
    for phase in ("mirror", "live", "clean", "live", "mirror", "live", "mirror", "prepare", "mirror"):
        go(server, phase)
        assert server.bucket.objects.items() >= FILES.items(), f"on the way to {phase}"
        if phase == "live":
            assert named(server) == paths_of(LOST)
    assert server.tree() == FILES, "they came home from the bucket"


def nothing_is_set_aside_on_the_word_of_an_absence_there(server: Machine, tables: Tables) -> None:
    """Twenty objects are lost in the bucket, and the tables know them all."""
    fill(server, tables)
    go(server, "live")
    lose_there(server, LOST)
    go(server, "mirror")
    assert server.tree() == FILES and named(server) == paths_of(LOST)
    go(server, "live")
    assert server.bucket.objects.items() >= FILES.items(), "they were copied anew"


def purges_are_honoured_in_every_phase(server: Machine, tables: Tables) -> None:
    fill(server, tables)
    in_mirror, live, clean = PURGED
    go(server, "mirror")
    forget(tables, [in_mirror])
    lose_here(server, [in_mirror])
    go(server, "live")
    assert not {*paths_of([in_mirror])} & server.bucket.objects.keys()
    forget(tables, [live])
    lose_there(server, [live])
    go(server, "mirror")
    assert not {*paths_of([live])} & server.tree().keys()
    (aside,) = server.store.parent.glob("media-store-removed-*")
    assert server.tree(aside).keys() == {*paths_of([live])}, "set aside, not deleted"
    go(server, "clean")
    forget(tables, [clean])
    lose_there(server, [clean])
    go(server, "mirror")
    left = FILES.keys() - {*paths_of(PURGED)}
    assert server.tree().keys() == left == {key for key in server.bucket.objects if not key.startswith(".")}
    assert named(server) == []


def a_database_that_cannot_be_asked_deletes_nothing(server: Machine, tables: Tables) -> None:
    fill(server, tables)
    go(server, "mirror")
    forget(tables, PURGED)
    lose_here(server, PURGED)
    tables.execute("DROP TABLE remote_media_cache")
    go(server, "live")
    assert server.bucket.objects.items() >= FILES.items() and named(server) == paths_of(PURGED)
    assert any("cannot be asked" in line for line in server.said)
