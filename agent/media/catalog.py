"""This module keeps what was seen of the files on both sides in one SQLite file, which can hold a million names.

The tables `local` and `remote` are the last walk and the last listing. `prints` are checksums of local files, which
hold while a file's metadata stays. `read` are checksums of objects that were read back. `known` are the files that were
proven equal on both sides; `sent` are further names that this program put on the other side, or tried to. `newer` are
local files that are newer than the object with that ETag. `archived` are objects of the last listing that cannot be
read now, `readable` those that could be opened with the stack's customer key, or without one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ..model.items import Entry, Object, number_of

C = TypeVar("C", bound="Catalog")

_TABLES = """
CREATE TABLE IF NOT EXISTS local (path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remote (path TEXT PRIMARY KEY, size INT, etag TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prints (
  path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, md5 TEXT, parts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS read (path TEXT PRIMARY KEY, etag TEXT, md5 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS newer (path TEXT PRIMARY KEY, etag TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS archived (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS readable (path TEXT PRIMARY KEY, etag TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (path TEXT PRIMARY KEY, size INT, etag TEXT, md5 TEXT) WITHOUT ROWID;
"""

#: How far SQLite waits for the disk: a power loss may take the last writes, and never leaves a damaged file.
SYNCHRONOUS = "NORMAL"

#: What one manifest takes of another: all it has seen and proven.
_TABLES_TAKEN = {"local": 5, "remote": 3, "prints": 7, "read": 3, "known": 4}


class Catalog:
    """A `Catalog` is one connection to the SQLite file; each method that writes does so in one transaction.

    `media.equality` says what follows from what it holds.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make the file at `path`, or with None a catalog in memory."""
        if path:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(str(path or ":memory:"))
        self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {SYNCHRONOUS};" + _TABLES)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _paths(self, query: str, *values: object) -> list[str]:
        return [row[0] for row in self._db.execute(query, values)]

    def _count(self, query: str) -> tuple[int, int]:
        count, total = self._db.execute(query).fetchone()
        return count, total or 0

    def load_local(self, entries: Iterable[Entry]) -> tuple[int, int]:
        """Replace the last walk by `entries`; return how many files it found, and their bytes."""
        with self._db:
            self._db.execute("DELETE FROM local")
            self._db.executemany(
                "INSERT INTO local VALUES (?, ?, ?, ?, ?)",
                ((e.path, e.size, e.mtime, e.ctime, e.inode) for e in entries),
            )
        return self._count("SELECT count(*), sum(size) FROM local")

    def load_remote(self, objects: Iterable[Object]) -> tuple[int, int]:
        """Replace the last listing by `objects`; return how many objects it has, and their bytes."""
        with self._db:
            self._db.execute("DELETE FROM remote")
            self._db.execute("DELETE FROM archived")
            self._db.executemany("INSERT INTO remote VALUES (?, ?, ?)", self._noting_archived(objects))
        return self.listed()

    def listed(self) -> tuple[int, int]:
        """Return how many objects the last listing had, and their bytes."""
        return self._count("SELECT count(*), sum(size) FROM remote")

    def _noting_archived(self, objects: Iterable[Object]) -> Iterator[tuple[str, int, str]]:
        for item in objects:
            if item.archived:
                self._db.execute("INSERT INTO archived VALUES (?)", (item.key,))
            yield item.key, item.size, item.etag

    def set_remote(self, path: str, found: Object | None) -> None:
        """Correct what the last listing says of one object; None is for an object that is not there."""
        with self._db:
            self._db.execute("DELETE FROM remote WHERE path = ?", (path,))
            if found:
                self._db.execute("INSERT INTO remote VALUES (?, ?, ?)", (path, found.size, found.etag))

    def add_checksums(self, rows: Iterable[tuple[Entry, str, str]]) -> None:
        """Keep checksums of local files: the MD5, and the ETag of the file in parts, empty where it is one part."""
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO prints VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((e.path, e.size, e.mtime, e.ctime, e.inode, md5, parts) for e, md5, parts in rows),
            )

    def note_told(self, entry: Entry, md5: str) -> None:
        """Keep the MD5 that the entry's store tells of it, unless its content was read; within a `load_local` only."""
        self._db.execute(
            "INSERT INTO prints VALUES (?, ?, ?, ?, ?, ?, '') ON CONFLICT (path) DO UPDATE SET size = excluded.size,"
            " mtime = excluded.mtime, ctime = excluded.ctime, inode = excluded.inode, md5 = excluded.md5, parts = ''"
            " WHERE prints.inode <> excluded.inode OR prints.size <> excluded.size",
            (*entry, md5),
        )

    def add_read(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Keep checksums that were read back from the bucket: the object's path, its ETag, its content's MD5."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO read VALUES (?, ?, ?)", rows)

    def add_readable(self, paths: Iterable[str]) -> None:
        """Remember that these objects of the last listing can be read as the stack says."""
        with self._db:
            query = "INSERT OR REPLACE INTO readable SELECT path, etag FROM remote WHERE path = ?"
            self._db.executemany(query, ((path,) for path in paths))

    def add_sent(self, paths: Iterable[str]) -> None:
        """Remember names before their files are put on the other side."""
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO sent VALUES (?)", ((path,) for path in paths))

    def merge_from(self, other: Catalog, gone: Iterable[str] = ()) -> None:
        """Take over all that another catalog saw and proved; files of the names in `gone` are here no longer."""
        with self._db:
            for table, columns in _TABLES_TAKEN.items():
                places = ", ".join("?" * columns)
                rows = other._db.execute(f"SELECT * FROM {table}")
                self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)
            proven = other._db.execute("SELECT path FROM known")
            self._db.executemany("DELETE FROM sent WHERE path = ?", proven)
            self._db.executemany("DELETE FROM local WHERE path = ?", ((path,) for path in gone))

    def add_newer(self, paths: Iterable[str]) -> None:
        """Remember that the local files of these names are newer than their objects, by the last listing."""
        with self._db:
            for path in paths:
                self._db.execute("INSERT OR REPLACE INTO newer SELECT path, etag FROM remote WHERE path = ?", (path,))

    def move_to(self, moved: Catalog) -> None:
        """Know the objects of another bucket, to which everything was moved, as `moved` found them there.

        What was known or read, or is older than the local file, is so there too, as long as its content is the same.
        """
        with self._db:
            for path, etag, md5 in moved._db.execute("SELECT path, etag, md5 FROM known"):
                self._db.execute("UPDATE known SET etag = ? WHERE path = ? AND md5 = ?", (etag, path, md5))
                self._db.execute("INSERT OR REPLACE INTO read VALUES (?, ?, ?)", (path, etag, md5))
            for path, etag in self._db.execute("SELECT path, etag FROM newer").fetchall():
                for entry, item in zip(moved.local([path]), moved.remote([path])):
                    if entry.inode == number_of(etag):
                        self._db.execute("UPDATE newer SET etag = ? WHERE path = ?", (item.etag, path))

    def known_etags(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the ETags that the known ones of these files had on the other side when they were equal."""
        query = "SELECT path, etag FROM known WHERE path = ?"
        return dict(row for path in paths for row in self._db.execute(query, (path,)))

    def known_md5(self, path: str) -> str:
        """Return the MD5 of the known file of that name; it is empty where there is none."""
        return "".join(self._paths("SELECT md5 FROM known WHERE path = ?", path))

    def forget(self, paths: Iterable[str]) -> None:
        """Forget files that neither side has any more."""
        names = [(path,) for path in paths]
        with self._db:
            for table in (*_TABLES_TAKEN, "sent"):
                self._db.executemany(f"DELETE FROM {table} WHERE path = ?", names)

    def checksums(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str, str]]:
        """Yield those of `entries` whose checksums are known, each with its MD5 and its ETag in parts."""
        for entry in entries:
            query = "SELECT md5, parts FROM prints WHERE (path, size, mtime, ctime, inode) = (?, ?, ?, ?, ?)"
            for md5, parts in self._db.execute(query, entry):
                yield entry, md5, parts

    def walked(self) -> int:
        """Return how many files the last walk found."""
        return self._count("SELECT count(*), 0 FROM local")[0]

    def local(self, paths: Iterable[str]) -> Iterator[Entry]:
        """Yield what the last walk found under these names."""
        for path in paths:
            row = self._db.execute(
                "SELECT path, size, mtime, ctime, inode FROM local WHERE path = ?", (path,)
            ).fetchone()
            if row:
                yield Entry(*row)

    def all_local(self) -> Iterator[Entry]:
        """Yield every file that the last walk found."""
        for row in self._db.execute("SELECT path, size, mtime, ctime, inode FROM local"):
            yield Entry(*row)

    def remote(self, paths: Iterable[str]) -> Iterator[Object]:
        """Yield what the last listing found under these names."""
        for path in paths:
            row = self._db.execute("SELECT path, size, etag FROM remote WHERE path = ?", (path,)).fetchone()
            if row:
                yield Object(*row)

    def remote_bytes(self, paths: Iterable[str]) -> int:
        """Return how many bytes the objects of these names have together by the last listing."""
        return sum(item.size for item in self.remote(paths))
