"""Servers whose bucket is mounted as the media store before this program comes."""

from __future__ import annotations

from components import playbook
from sandbox import server, store

from .world import STORE, Migration, on_disk, run_playbook


def move_media_by_hand(migration: Migration) -> None:
    """All media are in the bucket alone, and the homeserver is stopped."""
    server.ssh("systemctl stop matrix-synapse.service")
    s3 = store.client()
    for path in migration.before:
        s3.upload_file(str(on_disk(STORE) / path), migration.bucket, path)
    server.ssh(f"find {STORE} -mindepth 1 -delete")


def lines_of(migration: Migration) -> dict[str, str | bool]:
    """What its vars.yml says of the playbook's own mount of the bucket."""
    return {
        **playbook.variables(store.ENDPOINT, store.REGION, migration.bucket, ""),
        **playbook.keys(store.ACCESS_KEY_ID, store.SECRET_ACCESS_KEY),
    }


def on_the_playbooks_goofys(migration: Migration) -> None:
    """It went there months ago, and nothing of this program is on it."""
    move_media_by_hand(migration)
    run_playbook(lines_of(migration))
