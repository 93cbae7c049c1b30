"""What a person waits for, through the Matrix API: an upload, and a room with 50 thumbnails that nobody saw lately.

It runs on a server as the playbook makes it, with Docker and a worker for media.
"""

from __future__ import annotations

import os
import statistics
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox import server, stacks, synapse
from sandbox.caches import drop_caches
from sandbox.clients import THUMBNAIL

from .distance import far_away
from .ground import BUCKET
from .noticed import server_with

#: Where media are: what mounts the bucket, and its cache.
PLACES = {"local disk": ("", ""), "goofys": ("goofys", ""), "rclone with a cache": ("rclone", "5G")}
#: Uploads, and their bytes; thumbnails in a room, how many a browser asks for at once, and rooms.
UPLOADS, SIZE, THUMBNAILS, AT_ONCE, ROOMS = 40, 60_000, 50, 6, 3
Record = dict[str, Any]


def felt(files: int, latency: int) -> Record:
    """Medians of the waits by place: of an upload, and of a room the first time (memory dropped) and once more."""
    found: dict[str, dict[str, float]] = {}
    with far_away(latency) as endpoint:
        token, people = server_with(files, endpoint)
        pictures = [item for item in people if _look(token, item)]
        rooms = [pictures[at : at + THUMBNAILS] for at in range(0, ROOMS * THUMBNAILS, THUMBNAILS)]
        assert len(rooms[-1]) == THUMBNAILS, f"{len(pictures)} pictures"
        stack = stacks.existing("sandbox-bench", BUCKET)
        stack.set("store.endpoint", endpoint)
        for name, (program, cache) in PLACES.items():
            if program:
                stack.set("mount.program", program)
                stack.set("mount.cache", cache)
            stack.phase("live" if program else "mirror")
            uploads = [_seconds(lambda: synapse.upload(token, os.urandom(SIZE))) for _ in range(UPLOADS)]
            drop_caches()
            first = [_seconds(lambda: _show(token, room)) for room in rooms]  # noqa: B023
            again = [_seconds(lambda: _show(token, room)) for room in rooms]  # noqa: B023
            found[name] = {
                "upload": round(statistics.median(uploads), 3),
                "room": round(statistics.median(first), 2),
                "room again": round(statistics.median(again), 2),
            }
            print(f"bench: {latency} ms, {name}: {found[name]}", flush=True)
        server.down()
    return {"files": files, "latency_ms": latency, "waits": found}


def _look(token: str, item: synapse.Media) -> bool:
    """Look at a thumbnail; returns whether there is one."""
    try:
        synapse.call("GET", THUMBNAIL.format(synapse.SERVER_NAME, item.id), token=token)
    except urllib.error.HTTPError as error:
        if error.code in (400, 404):
            return False
        raise
    return True


def _show(token: str, room: list[synapse.Media]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(lambda item: _look(token, item), room))


def _seconds(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began
