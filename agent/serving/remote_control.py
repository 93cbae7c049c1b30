"""This module asks the mount's program what its cache owes the bucket, at a socket that root alone reaches.

https://rclone.org/rc/#vfs-queue
"""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds for an answer.
PATIENCE_SECONDS = 5.0
#: Tries after which an upload counts as one that fails.
FAILS = 3


@dataclass(frozen=True)
class Queue:
    """A `Queue` says how many files wait to go up, their bytes, how many failed before, and the cache's bytes."""

    files: int
    bytes: int
    failing: int
    cached: int


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def _ask(path: Path, what: str) -> dict[str, Any]:
    connection = _Connection(path)
    try:
        connection.request("POST", f"/{what}", b"{}", {"Content-Type": "application/json"})
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}


def queue(path: Path) -> Queue | None:
    """Return what waits by the program at the socket `path`; None where none answers."""
    try:
        items = _ask(path, "vfs/queue").get("queue") or []
        disk = _ask(path, "vfs/stats").get("diskCache") or {}
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return Queue(
        len(items),
        sum(max(0, int(item.get("size", 0))) for item in items),
        sum(int(item.get("tries", 0)) >= FAILS for item in items),
        int(disk.get("bytesUsed", 0)),
    )


def lacks_cache(path: Path) -> bool:
    """Return whether the program at the socket `path` says that it has no cache: where it cannot make one, it goes on.

    One that does not answer in time may have it.
    """
    try:
        told = _ask(path, "vfs/stats")
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return "fs" in told and "diskCache" not in told
