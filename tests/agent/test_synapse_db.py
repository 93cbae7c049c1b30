"""What Synapse's own tables say of media that are gone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from agent.host.system import System
from agent.media.synapse_db import SynapseDatabase, media_of

from .conftest import Machine

#: Whoever runs the tests.
OWNER = os.geteuid(), os.getegid()


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("local_content/aa/bb/rest", (None, "aabbrest")),
        ("local_thumbnails/aa/bb/rest/32-32-image-png-crop", (None, "aabbrest")),
        ("remote_content/[::1]:8448/aa/bb/rest", ("[::1]:8448", "aabbrest")),
        ("remote_thumbnail/example.org/aa/bb/rest/32-32-image-png-crop", ("example.org", "aabbrest")),
        ("local_content/aa/bb/x' OR '1'='1", None),
        ("remote_content/e'); DROP/aa/bb/rest", None),
        ("homeserver.db", None),
        ("local_content/aa", None),
    ],
)
def test_a_files_media_is_known_by_its_path_or_not_at_all(path: str, media: tuple[str | None, str] | None) -> None:
    assert media_of(path) == media


def database(path: Path, known: list[str]) -> str:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE local_media_repository (media_id TEXT)")
        db.execute("CREATE TABLE remote_media_cache (media_origin TEXT, filesystem_id TEXT)")
        db.executemany("INSERT INTO local_media_repository VALUES (?)", [(name,) for name in known])
        db.execute("INSERT INTO remote_media_cache VALUES ('example.org', 'aabbkept')")
    return f"sqlite:{path}"


def test_purged_is_what_synapses_own_tables_no_longer_know(
    server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = database(tmp_path / "db", ["aabbkept", "ccddthere"])
    paths = [
        "local_content/aa/bb/kept", "local_content/aa/bb/purged", "local_thumbnails/aa/bb/purged/1-1-image-png-crop",
        "remote_content/example.org/aa/bb/kept", "remote_content/example.org/aa/bb/purged", "strange",
    ]  # fmt: skip
    gone = SynapseDatabase(where, System(), OWNER, print).purged(paths, ["local_content/cc/dd/there"])
    assert gone == {paths[1], paths[2], paths[4]}


def test_a_database_that_does_not_know_what_is_there_is_not_believed(
    server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = database(tmp_path / "old", [])
    for each in (where, f"sqlite:{tmp_path}/missing"):
        said: list[str] = []
        found = SynapseDatabase(each, System(), OWNER, said.append)
        assert found.purged(["local_content/aa/bb/x"], ["local_content/cc/dd/there"]) == set() and said
