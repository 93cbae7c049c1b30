"""This module says what follows from all that was seen: what is equal on both sides, what is not, and what changed.

It asks SQLite for everything, since a million names do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..model.items import Entry, Object
from .catalog import Catalog

#: A checksum belongs to a file as long as none of these moved; the inode and ctime catch a clock step.
_SAME_FILE = "p.path = l.path AND p.size = l.size AND p.mtime = l.mtime AND p.ctime = l.ctime AND p.inode = l.inode"

#: Whether the object's content is the file's, by having read it back; or by its ETag, which is the MD5
#: of the content, or of the parts' MD5s, unless a customer's key encrypts it.
_BY_READING = "(b.etag = r.etag AND b.md5 = p.md5)"
_BY_ETAG = "(r.etag = p.md5 OR r.etag = p.parts)"

#: The names of ours, see `Manifest`.
_OURS = "SELECT path FROM known UNION SELECT path FROM sent"

#: The columns of an Entry, and what is known of its content.
_ENTRY = "l.path, l.size, l.mtime, l.ctime, l.inode"
_CONTENT = f"LEFT JOIN prints p ON {_SAME_FILE} LEFT JOIN read b ON b.path = l.path"

_BOTH = f"FROM local l JOIN remote r ON r.path = l.path {_CONTENT}"


class Manifest(Catalog):
    """A `Manifest` is a catalog that answers which files are equal, which are not, and which changed.

    "Known" files are those that the last `mark_equal` found equal on both sides. "Ours" are the known ones, and further
    names that this program put on the other side, or tried to.
    """

    def __init__(self, path: Path | None, customer_key: bool = False) -> None:
        """Open or make the file at `path`, or with None a manifest in memory.

        With `customer_key`, an ETag proves nothing: an object that has its content's MD5 lacks the key.
        """
        self._same = f"r.size = l.size AND ({_BY_READING if customer_key else f'{_BY_ETAG} OR {_BY_READING}'})"
        self._etag_is_silent = "TRUE" if customer_key else f"NOT {_BY_ETAG}"
        super().__init__(path)

    def unread(self) -> tuple[int, int]:
        """Return how many files `without_checksum` yields, and their bytes."""
        return self._count(f"SELECT count(*), sum(l.size) {_BOTH} WHERE r.size = l.size AND p.path IS NULL")

    def without_checksum(self) -> Iterator[Entry]:
        """Yield the local files that have an object of the same size, and whose content was not read yet.

        They are asked for in lots, so that checksums may be added meanwhile.
        """
        last = ""
        while True:
            rows = self._db.execute(
                f"SELECT {_ENTRY} {_BOTH}"
                " WHERE r.size = l.size AND p.path IS NULL AND l.path > ? ORDER BY l.path LIMIT 5000",
                (last,),
            ).fetchall()
            if not rows:
                return
            yield from map(Entry._make, rows)
            last = rows[-1][0]

    def doubtful(self) -> list[Object]:
        """Return the objects of their file's size that must be read back: their ETag does not prove them equal."""
        return [
            Object(*row)
            for row in self._db.execute(
                f"SELECT r.path, r.size, r.etag {_BOTH} WHERE r.size = l.size AND p.path IS NOT NULL"
                f" AND {self._etag_is_silent} AND (b.etag IS NULL OR b.etag <> r.etag)"
            )
        ]

    def missing_remotely(self) -> list[str]:
        """Return the names of local files that have no object."""
        return self._paths("SELECT path FROM local WHERE path NOT IN (SELECT path FROM remote) ORDER BY path")

    def missing_locally(self) -> list[str]:
        """Return the names of objects that have no local file."""
        return self._paths("SELECT path FROM remote WHERE path NOT IN (SELECT path FROM local) ORDER BY path")

    def missing_locally_and_untried(self) -> list[str]:
        """Return the names of objects that have no local file, and of which nobody knows whether they can be read."""
        return self._paths(
            "SELECT path FROM remote r WHERE path NOT IN (SELECT path FROM local) AND NOT EXISTS"
            " (SELECT 1 FROM readable t WHERE t.path = r.path AND t.etag = r.etag) ORDER BY path"
        )

    def archived(self, paths: Sequence[str]) -> list[str]:
        """Return those of the names whose objects the last listing said to be in an archive."""
        found = {*self._paths("SELECT path FROM archived")}
        return [path for path in paths if path in found]

    def tops(self) -> list[str]:
        """Return the names at the top of the media store below which there are local files, or names of ours."""
        found: set[str] = set()
        for table in ("local", "known", "sent"):
            condition, last = "path > ?", ""
            # A step for each name at the top, however many lie below it; 0 comes after /.
            while path := self._db.execute(f"SELECT min(path) FROM {table} WHERE {condition}", (last,)).fetchone()[0]:
                top, is_folder, _ = path.partition("/")
                found.add(top)
                condition, last = ("path >= ?", f"{top}0") if is_folder else ("path > ?", top)
        return sorted(found)

    def drop_clashing(self) -> list[str]:
        """Forget objects of the last listing that cannot be files beside others: `a` and `a/b`; return their names.

        Of such two, the one stays that is a local file or one of ours, else the one below.
        """
        below = "FROM remote WHERE path > :path || '/' AND path < :path || '0'"
        clashing = self._paths(
            "SELECT r.path FROM remote r WHERE EXISTS"
            " (SELECT 1 FROM remote s WHERE s.path > r.path || '/' AND s.path < r.path || '0')"
        )
        dropped: list[str] = []
        with self._db:
            for path in clashing:
                stays = f"SELECT 1 FROM local WHERE path = :path UNION SELECT 1 FROM ({_OURS}) WHERE path = :path"
                if self._db.execute(stays, {"path": path}).fetchone():
                    dropped += [row[0] for row in self._db.execute(f"SELECT path {below}", {"path": path})]
                    self._db.execute(f"DELETE {below}", {"path": path})
                else:
                    dropped.append(path)
                    self._db.execute("DELETE FROM remote WHERE path = :path", {"path": path})
        return dropped

    def find_unequal(self) -> tuple[int, int]:
        """Choose the local files that are not proven equal in the bucket; return how many, and their bytes.

        In a first copy that is all of them: `unequal` gives them out in lots.
        """
        with self._db:
            self._db.execute("DROP TABLE IF EXISTS temp.unequal")
            self._db.execute(
                f"CREATE TEMP TABLE unequal AS SELECT {_ENTRY}"
                f" FROM local l LEFT JOIN remote r ON r.path = l.path {_CONTENT}"
                f" WHERE NOT coalesce({self._same}, 0) ORDER BY l.path"
            )
        return self._count("SELECT count(*), sum(size) FROM unequal")

    def unequal(self, files: int, size: int) -> Iterator[list[Entry]]:
        """Yield what `find_unequal` chose in lots; each ends at `files` files or `size` bytes, whichever is first."""
        lot: list[Entry] = []
        amount = 0
        for row in self._db.execute("SELECT * FROM unequal ORDER BY rowid"):
            lot.append(Entry(*row))
            amount += lot[-1].size
            if len(lot) >= files or amount >= size:
                yield lot
                lot, amount = [], 0
        if lot:
            yield lot

    def unequal_before(self, ctime: int) -> bool:
        """Return whether `find_unequal` chose a file whose ctime is before `ctime`, in nanoseconds since 1970."""
        return bool(self._db.execute("SELECT 1 FROM unequal WHERE ctime < ? LIMIT 1", (ctime,)).fetchone())

    def different(self) -> list[str]:
        """Return the names that are on both sides and not proven equal."""
        return self._paths(f"SELECT l.path {_BOTH} WHERE NOT coalesce({self._same}, 0) ORDER BY l.path")

    def newer_locally(self) -> set[str]:
        """Return the names of local files that are known to be newer than the objects that the last listing found."""
        return {*self._paths("SELECT n.path FROM newer n JOIN remote r ON r.path = n.path WHERE n.etag = r.etag")}

    def equal(self) -> tuple[int, int]:
        """Return how many files are proven equal on both sides, and their bytes."""
        return self._count(f"SELECT count(*), sum(l.size) {_BOTH} WHERE {self._same}")

    def mark_equal(self) -> None:
        """Remember as known exactly the files that are proven equal now, and forget what is on neither side."""
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO sent SELECT path FROM known")
            self._db.execute("DELETE FROM known")
            self._db.execute(f"INSERT INTO known SELECT l.path, l.size, r.etag, p.md5 {_BOTH} WHERE {self._same}")
            self._db.execute(
                "DELETE FROM sent WHERE path IN (SELECT path FROM known) OR NOT"
                " (path IN (SELECT path FROM local) OR path IN (SELECT path FROM remote))"
            )
            self._db.execute("DELETE FROM newer WHERE path IN (SELECT path FROM known)")
            self._db.execute("DELETE FROM prints WHERE path NOT IN (SELECT path FROM local)")
            for table in ("read", "readable"):
                self._db.execute(f"DELETE FROM {table} WHERE path NOT IN (SELECT path FROM remote)")

    def unmark(self, paths: Iterable[str]) -> None:
        """Forget that the files of these names are equal, but not that this program put them on the other side."""
        names = [(path,) for path in paths]
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO sent SELECT path FROM known WHERE path = ?", names)
            self._db.executemany("DELETE FROM known WHERE path = ?", names)

    # What changed since it was known

    def changed_locally(self) -> list[Entry]:
        """Return the files of the last walk that are not known, or whose content is not known to be what was equal."""
        return [
            Entry(*row)
            for row in self._db.execute(
                f"SELECT {_ENTRY} FROM local l"
                f" LEFT JOIN prints p ON {_SAME_FILE} LEFT JOIN known k ON k.path = l.path AND k.md5 = p.md5"
                " WHERE k.path IS NULL ORDER BY l.path"
            )
        ]

    def known_files(self) -> Iterator[Entry]:
        """Yield the files of the last walk that are known."""
        yield from map(Entry._make, self._db.execute(f"SELECT {_ENTRY} FROM local l JOIN known k ON k.path = l.path"))

    def gone_locally(self) -> list[str]:
        """Return the names of ours (see the class) that the last walk did not find."""
        return self._paths(f"SELECT path FROM ({_OURS}) WHERE path NOT IN (SELECT path FROM local) ORDER BY path")

    def gone_locally_but_not_remotely(self) -> list[str]:
        """Return the names of ours (see the class) that the last walk did not find, and the last listing did."""
        return self._paths(
            f"SELECT path FROM ({_OURS}) WHERE path NOT IN (SELECT path FROM local)"
            " AND path IN (SELECT path FROM remote) ORDER BY path"
        )

    def uploaded_below(self, path: str) -> list[str]:
        """Return the names of ours (see the class) that are `path` itself, or lie below it if it is a folder."""
        try:
            path.encode()
        except UnicodeEncodeError:
            return []  # no such name was ever put there
        where = ("path = :path", "path > :path || '/' AND path < :path || '0'")  # 0 comes after /
        queries = [f"SELECT path FROM {table} WHERE {names}" for table in ("known", "sent") for names in where]
        return [row[0] for row in self._db.execute(" UNION ".join(queries), {"path": path})]

    def is_ours(self, path: str) -> bool:
        """Return whether the name is one of ours (see the class)."""
        return bool(self._db.execute(f"SELECT 1 FROM ({_OURS}) WHERE path = ? LIMIT 1", (path,)).fetchone())

    def knows(self, path: str) -> bool:
        """Return whether a file of that name is known, that is, was equal on both sides when last compared."""
        return bool(self._db.execute("SELECT 1 FROM known WHERE path = ?", (path,)).fetchone())

    def unknown_files(self) -> list[str]:
        """Return the names of the last walk that are not known."""
        return self._paths("SELECT path FROM local WHERE path NOT IN (SELECT path FROM known)")

    def gone_remotely(self) -> list[str]:
        """Return the names of ours (see the class) that the last walk found and the last listing did not."""
        return self._paths(
            f"SELECT path FROM ({_OURS}) WHERE path NOT IN (SELECT path FROM remote)"
            " AND path IN (SELECT path FROM local) ORDER BY path"
        )

    def lost_remotely(self) -> list[str]:
        """Return the names of known files that the last listing did not find, whether or not they are still here."""
        return self._paths("SELECT path FROM known WHERE path NOT IN (SELECT path FROM remote)")

    def foreign_objects(self) -> list[str]:
        """Return the names of objects that are none of ours (see the class), and that no local file equals."""
        return self._paths(
            f"SELECT path FROM remote WHERE path NOT IN ({_OURS})"
            f" AND path NOT IN (SELECT l.path {_BOTH} WHERE {self._same}) ORDER BY path"
        )

    def uploaded_count(self) -> int:
        """Return how many names this program put on the other side, or tried to."""
        return int(self._db.execute(f"SELECT count(*) FROM ({_OURS})").fetchone()[0])

    def known(self) -> tuple[int, int]:
        """Return how many files are known, and their bytes."""
        return self._count("SELECT count(*), sum(size) FROM known")

    def kinds(self) -> dict[str, list[int]]:
        """Return how many files are known, and their bytes, by the folder at the top that they are in."""
        query = "SELECT substr(path, 1, instr(path || '/', '/') - 1), count(*), sum(size) FROM known GROUP BY 1"
        return {folder: [files, size] for folder, files, size in self._db.execute(query)}

    def sample(self, count: int, largest: int) -> list[tuple[str, str]]:
        """Return the paths and MD5s of up to `count` known files chosen at random, none above `largest` bytes."""
        return list(
            self._db.execute("SELECT path, md5 FROM known WHERE size <= ? ORDER BY random() LIMIT ?", (largest, count))
        )

    def sample_remote(self, count: int, largest: int) -> list[Object]:
        """Return up to `count` objects of the last listing chosen at random, none above `largest` bytes."""
        query = "SELECT path, size, etag FROM remote WHERE size <= ? ORDER BY random() LIMIT ?"
        return [Object(*row) for row in self._db.execute(query, (largest, count))]

    def originals(self, count: int = 200) -> list[str]:
        """Return up to `count` names of media that are equal on both sides, the newest first.

        By these a database is known that is in use: one that was left behind knows the older ones alone.
        """
        return self._paths(
            f"SELECT l.path {_BOTH} WHERE (l.path LIKE 'local_content/%' OR l.path LIKE 'remote_content/%')"
            f" AND {self._same} ORDER BY l.ctime DESC, l.path LIMIT ?",
            count,
        )
