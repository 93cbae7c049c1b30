"""What was seen of the files on both sides, in one SQLite file: it must hold a million names.

`local` and `remote` are the last walk and the last listing. `prints` are checksums of local content,
good while a file's metadata stays. `known` are the files that were proven equal on both sides; `sent`
are further names that this program put on the other side, or tried to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .s3 import Object
from .tree import Entry

if TYPE_CHECKING:
    from typing import Self

_TABLES = """
CREATE TABLE IF NOT EXISTS local (path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remote (path TEXT PRIMARY KEY, size INT, etag TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prints (
  path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, md5 TEXT, parts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS read (path TEXT PRIMARY KEY, etag TEXT, md5 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (path TEXT PRIMARY KEY, size INT, etag TEXT, md5 TEXT) WITHOUT ROWID;
"""

#: What one manifest takes of another: all it has seen and proven.
_TABLES_TAKEN = {"local": 5, "remote": 3, "prints": 7, "read": 3, "known": 4}


class Seen:
    """One connection; every method is one transaction. `Manifest` tells what follows from it."""

    def __init__(self, path: Path | None) -> None:
        """A file, or with None one in memory."""
        if path:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(str(path or ":memory:"))
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _TABLES)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _paths(self, query: str, *values: object) -> list[str]:
        return [row[0] for row in self._db.execute(query, values)]

    def _count(self, query: str) -> tuple[int, int]:
        count, total = self._db.execute(query).fetchone()
        return count, total or 0

    def load_local(self, entries: Iterable[Entry]) -> tuple[int, int]:
        """Take the last walk; returns files and bytes."""
        with self._db:
            self._db.execute("DELETE FROM local")
            self._db.executemany(
                "INSERT INTO local VALUES (?, ?, ?, ?, ?)",
                ((e.path, e.size, e.mtime, e.ctime, e.inode) for e in entries),
            )
        return self._count("SELECT count(*), sum(size) FROM local")

    def load_remote(self, objects: Iterable[Object]) -> tuple[int, int]:
        """Take the last full listing; returns objects and bytes."""
        with self._db:
            self._db.execute("DELETE FROM remote")
            self._db.executemany("INSERT INTO remote VALUES (?, ?, ?)", ((o.key, o.size, o.etag) for o in objects))
        return self._count("SELECT count(*), sum(size) FROM remote")

    def set_remote(self, path: str, found: Object | None) -> None:
        """Correct one object after the last listing."""
        with self._db:
            self._db.execute("DELETE FROM remote WHERE path = ?", (path,))
            if found:
                self._db.execute("INSERT INTO remote VALUES (?, ?, ?)", (path, found.size, found.etag))

    def add_prints(self, rows: Iterable[tuple[Entry, str, str]]) -> None:
        """Checksums of local content: MD5 and multipart ETag (empty where the file is one part)."""
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO prints VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((e.path, e.size, e.mtime, e.ctime, e.inode, md5, parts) for e, md5, parts in rows),
            )

    def add_read(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Checksums read back from the bucket: path, the object's ETag, MD5."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO read VALUES (?, ?, ?)", rows)

    def add_sent(self, paths: Iterable[str]) -> None:
        """Remember names before they are put on the other side."""
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO sent VALUES (?)", ((path,) for path in paths))

    def take(self, other: Seen, gone: Iterable[str]) -> None:
        """Take over all that a smaller one saw and proved, and forget what is gone on both sides."""
        with self._db:
            for table, columns in _TABLES_TAKEN.items():
                places = ", ".join("?" * columns)
                rows = other._db.execute(f"SELECT * FROM {table}")
                self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)
            proven = other._db.execute("SELECT path FROM known")
            self._db.executemany("DELETE FROM sent WHERE path = ?", proven)
            names = [(path,) for path in gone]
            for table in (*_TABLES_TAKEN, "sent"):
                self._db.executemany(f"DELETE FROM {table} WHERE path = ?", names)

    def prints(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str, str]]:
        """Checksums that are known of exactly these files."""
        for entry in entries:
            query = "SELECT md5, parts FROM prints WHERE (path, size, mtime, ctime, inode) = (?, ?, ?, ?, ?)"
            for md5, parts in self._db.execute(query, entry):
                yield entry, md5, parts

    def walked(self) -> int:
        """Files that the last walk found."""
        return self._count("SELECT count(*), 0 FROM local")[0]

    def local(self, paths: Iterable[str]) -> Iterator[Entry]:
        """Entries of the last walk for these names."""
        for path in paths:
            row = self._db.execute(
                "SELECT path, size, mtime, ctime, inode FROM local WHERE path = ?", (path,)
            ).fetchone()
            if row:
                yield Entry(*row)

    def all_local(self) -> Iterator[Entry]:
        """Every entry of the last walk."""
        for row in self._db.execute("SELECT path, size, mtime, ctime, inode FROM local"):
            yield Entry(*row)

    def remote(self, paths: Iterable[str]) -> Iterator[Object]:
        """Objects of the last listing for these names."""
        for path in paths:
            row = self._db.execute("SELECT path, size, etag FROM remote WHERE path = ?", (path,)).fetchone()
            if row:
                yield Object(*row)

    def remote_bytes(self, paths: Iterable[str]) -> int:
        """Bytes of the objects named."""
        return sum(item.size for item in self.remote(paths))
