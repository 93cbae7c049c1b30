"""What a cache in front of the bucket owes it."""

from __future__ import annotations

import hashlib

from sandbox import server

from .world import STORE, Migration

FOLDER = "/var/cache/matrix-media-store"


def owed() -> int:
    """Uploads that are on the server's disk alone, by rclone's own notes."""
    told = server.ssh(f"grep -rlZ '\"Dirty\": true' {FOLDER} 2>/dev/null | tr '\\0' '\\n' | wc -l", check=False)
    return int(told or 0)


def write_beside(migration: Migration, number: int) -> None:
    """Write what Synapse would, in a folder that the mount knows, while the bucket is away."""
    folder = migration.media[0].key.rpartition("/")[0]
    path = f"{folder}/beside-{number}"
    body = f"number {number}, written while the bucket is away"
    server.ssh(f"runuser -u matrix -- sh -c 'cat >{STORE}/{path}'", stdin=body)
    migration.before[path] = hashlib.sha256(body.encode()).hexdigest()
