"""Synapse's own word on whether a media file was purged: its media tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .context import Context
from .system import CommandFailed

#: The playbook's PostgreSQL client, and its database.
PLAYBOOK_PSQL = "/matrix/postgres/bin/cli-non-interactive"
PLAYBOOK_SQLITE = "/matrix/synapse/storage/homeserver.db"
#: Media by which the database is known to be the right one.
SAMPLE = 50
#: Ids a query takes at once.
LOT = 500

_ID = re.compile(r"[A-Za-z0-9_-]+")
_SERVER = re.compile(r"[A-Za-z0-9.:\[\]-]+")


class Media(NamedTuple):
    """A media file's id; `server` is None for this server's own."""

    server: str | None
    id: str


def media_of(path: str) -> Media | None:
    """The media a file of the store belongs to (thumbnails too), or None where it cannot be said."""
    parts = path.split("/")
    server: str | None = None
    if parts[0] in ("remote_content", "remote_thumbnail") and len(parts) >= 5:
        server, rest = parts[1], parts[2:5]
    elif parts[0] in ("local_content", "local_thumbnails") and len(parts) >= 4:
        rest = parts[1:4]
    else:
        return None
    media_id = "".join(rest)
    if not _ID.fullmatch(media_id) or (server is not None and not _SERVER.fullmatch(server)):
        return None
    return Media(server, media_id)


def _query(media: list[Media]) -> str:
    """Which of these the tables know. Ids and servers match _ID and _SERVER, so quoting them is enough."""
    own = ",".join(f"'{m.id}'" for m in media if m.server is None) or "''"
    foreign = ",".join(f"('{m.server}','{m.id}')" for m in media if m.server is not None) or "('','')"
    return (
        f"SELECT '' , media_id FROM local_media_repository WHERE media_id IN ({own}) UNION ALL "
        "SELECT media_origin, filesystem_id FROM remote_media_cache"
        f" WHERE (media_origin, filesystem_id) IN (VALUES {foreign})"
    )


def _ask(context: Context, database: str, query: str) -> set[Media]:
    if database.startswith("sqlite:"):
        with sqlite3.connect(f"file:{database[len('sqlite:') :]}?mode=ro", uri=True) as db:
            rows: Iterable[tuple[str, str]] = db.execute(query).fetchall()
    else:
        text = context.system.run([database, "-d", "synapse", "-A", "-t", "-F", "\t", "-c", query], timeout=300)
        rows = [tuple(line.split("\t")) for line in text.splitlines() if "\t" in line]  # type: ignore[misc]
    return {Media(server or None, media_id) for server, media_id in rows}


def database(context: Context) -> str | None:
    """`sqlite:<path>` or the path of a psql-like program; None where none is known."""
    setting = context.settings.host.database
    if setting != "auto":
        return setting
    if Path(PLAYBOOK_PSQL).exists():
        return PLAYBOOK_PSQL
    return f"sqlite:{PLAYBOOK_SQLITE}" if Path(PLAYBOOK_SQLITE).exists() else None


def _is_ours(context: Context, where: str, present: Iterable[str]) -> bool:
    """Whether the tables know most of a sample of media that are there: an old database would not."""
    sample = list({media for media in map(media_of, present) if media})[:SAMPLE]
    try:
        knows = len(_ask(context, where, _query(sample)) & set(sample))
    except (sqlite3.Error, CommandFailed, OSError) as error:
        context.say(f"clean: Synapse's media tables cannot be asked ({error}); such files need confirmation")
        return False
    if knows * 2 <= len(sample):
        context.say(f"clean: {where} knows {knows} of {len(sample)} media that are there: not Synapse's database, so")
        context.say("clean: files that are not in the bucket need confirmation; see host.database")
        return False
    return True


def purged(context: Context, paths: list[str], present: Iterable[str]) -> set[str]:
    """Those of `paths` whose media Synapse's tables no longer know. Doubt means not purged.

    :param present: names of media that are there, by which the database is known to be the right one.
    """
    where = database(context) if paths else None
    if where is None or not _is_ours(context, where, present):
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
            known = _ask(context, where, _query(lot))
        except (sqlite3.Error, CommandFailed, OSError):
            return set()
        for media in lot:
            if media not in known:
                gone.update(by_media[media])
    return gone
