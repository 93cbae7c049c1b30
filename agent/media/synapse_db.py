"""This module asks Synapse's own media tables whether a media file was purged."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..model.errors import CommandFailed

if TYPE_CHECKING:
    from ..model.ports import Say, System

#: The playbook's PostgreSQL client, and its database.
PLAYBOOK_PSQL = "/matrix/postgres/bin/cli-non-interactive"
PLAYBOOK_SQLITE = "/matrix/synapse/storage/homeserver.db"
#: Media by which the database is known to be the right one.
SAMPLE = 50
#: Seconds that one query may take.
SECONDS = 300
#: Ids a query takes at once.
LOT = 500

#: The errors that asking the database may raise.
FAILURES = (sqlite3.Error, CommandFailed, OSError, subprocess.TimeoutExpired, ValueError, TypeError, SyntaxError)

_ID = re.compile(r"[A-Za-z0-9_-]+")
_SERVER = re.compile(r"[A-Za-z0-9.:\[\]-]+")


class Media(NamedTuple):
    """A `Media` is the id of a media file; `server` is None for this server's own."""

    server: str | None
    id: str


def media_of(path: str) -> Media | None:
    """Return the media that a file of the store belongs to, thumbnails too, or None where its path does not say."""
    parts = path.split("/")
    server: str | None = None
    if parts[0] in ("remote_content", "remote_thumbnail") and len(parts) >= 5:
        server, rest = parts[1], parts[2:5]
    elif parts[0] in ("local_content", "local_thumbnails") and len(parts) >= 4:
        rest = parts[1:4]
    else:
        return None
    media_id = "".join(rest)
    media = Media(server, media_id)
    return media if _is_plain(media) else None


def _is_plain(media: Media) -> bool:
    return bool(_ID.fullmatch(media.id)) and (media.server is None or bool(_SERVER.fullmatch(media.server)))


def path_of(media: Media) -> str:
    """Return the path in the store of a media file's original."""
    folder = "local_content" if media.server is None else f"remote_content/{media.server}"
    return f"{folder}/{media.id[:2]}/{media.id[2:4]}/{media.id[4:]}"


#: The newest media whose files are in the store; an upload that was only announced has none yet.
_NEWEST = """
SELECT * FROM (SELECT '' AS origin, media_id FROM local_media_repository
    WHERE media_length IS NOT NULL AND url_cache IS NULL ORDER BY created_ts DESC LIMIT {count}) AS own
UNION ALL SELECT * FROM (SELECT media_origin, filesystem_id FROM remote_media_cache
    ORDER BY created_ts DESC LIMIT {count}) AS others
"""


def _query(media: list[Media]) -> str:
    """Return the SQL that selects those of `media` which the tables know.

    Ids and servers match _ID and _SERVER, so it is enough to put them into quotes.
    """
    own = ",".join(f"'{m.id}'" for m in media if m.server is None) or "''"
    foreign = ",".join(f"('{m.server}','{m.id}')" for m in media if m.server is not None) or "('','')"
    return (
        f"SELECT '' , media_id FROM local_media_repository WHERE media_id IN ({own}) UNION ALL "
        "SELECT media_origin, filesystem_id FROM remote_media_cache"
        f" WHERE (media_origin, filesystem_id) IN (VALUES {foreign})"
    )


def _rows(path: str, query: str) -> list[list[str]]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [list(row) for row in db.execute(query)]


@dataclass(frozen=True)
class SynapseDatabase:
    """This class asks Synapse's database, where the setting host.database says it is."""

    setting: str
    system: System
    #: Whose rights it takes to open a file of SQLite: it lies in a folder of the homeserver's user.
    owner: tuple[int, int]
    say: Say
    #: The folder that the media store is in: no program in it is run, since the homeserver's user may lay one there.
    beside: Path | None = None

    @property
    def where(self) -> str | None:
        """Return `sqlite:<path>` or the path of a psql-like program; None where there is none that may be asked."""
        if self.setting != "auto":
            theirs = self.beside is not None and self.beside in Path(self.setting).parents
            return None if theirs else self.setting
        if Path(PLAYBOOK_PSQL).exists():
            return PLAYBOOK_PSQL
        return f"sqlite:{PLAYBOOK_SQLITE}" if Path(PLAYBOOK_SQLITE).exists() else None

    def purged(self, paths: list[str], present: Iterable[str]) -> set[str]:
        """Return those of `paths` whose media Synapse's tables no longer know; none of them where there is doubt.

        :param present: names of media that are there, the newest first, by which the database is known to be in use.
        """
        where = self.where if paths else None
        if where is None:
            if paths:
                self.say("no database of Synapse's may be asked: nothing counts as purged; see host.database")
            return set()
        if not self._is_ours(where, present):
            return set()
        by_media: dict[Media, list[str]] = {}
        for path in paths:
            media = media_of(path)
            if media:
                by_media.setdefault(media, []).append(path)
        gone: set[str] = set()
        wanted = list(by_media)
        for start in range(0, len(wanted), LOT):
            lot = wanted[start : start + LOT]
            try:
                known = self._ask(where, _query(lot))
            except FAILURES:
                return set()
            for media in lot:
                if media not in known:
                    gone.update(by_media[media])
        return gone

    def newest(self, count: int) -> list[str]:
        """Return the paths of the newest media that the tables know; none where they cannot be asked."""
        where = self.where
        if where is None:
            return []
        try:
            found = self._ask(where, _NEWEST.format(count=count))
        except FAILURES:
            return []
        return sorted(path_of(media) for media in found if _is_plain(media))

    def _ask(self, where: str, query: str) -> set[Media]:
        if where.startswith("sqlite:"):
            rows = self.system.as_user(*self.owner, lambda: _rows(where[len("sqlite:") :], query), SECONDS)
        else:
            text = self.system.run([where, "-d", "synapse", "-A", "-t", "-F", "\t", "-c", query], timeout=SECONDS)
            rows = [line.split("\t") for line in text.splitlines() if "\t" in line]
        return {Media(str(server) or None, str(media_id)) for server, media_id in rows}

    def _is_ours(self, where: str, present: Iterable[str]) -> bool:
        """Return whether the tables know most of the newest media that are there: one left behind would not."""
        sample = [*dict.fromkeys(media for media in map(media_of, present) if media)][:SAMPLE]
        try:
            knows = len(self._ask(where, _query(sample)) & set(sample))
        except FAILURES as error:
            self.say(f"Synapse's media tables cannot be asked ({error}): nothing counts as purged")
            return False
        if knows * 2 <= len(sample):
            self.say(
                f"{where} knows {knows} of {len(sample)} media that are there: not Synapse's database, so nothing "
                "counts as purged; see host.database"
            )
            return False
        return True
