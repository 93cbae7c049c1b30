"""A move from one store to another: how long the copy takes beside the store's own limit, and what it needs."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from sandbox import server, store
from sandbox.caches import drop_caches

from .distance import far_away
from .ground import MEDIA_STORE, TOOLS, Ground, looking, on_server

OTHER = "bench-other"
#: What the copy's begin and end are told by.
BEGIN, END = "objects are copied", "are in both buckets and equal"
#: Where the agent keeps anything, and programs their own.
FOLDERS = "/var/lib/matrix-media-store /tmp /root /run/matrix-media-store"
Record = dict[str, Any]


def moved(files: int, latency: int, repetitions: int) -> Record:
    """The media move to a bucket of the same store, or with a `latency` in milliseconds to a store so far away."""
    with far_away(0) as near, far_away(latency) as there:
        ground = Ground.lay(files, near)
        ground.stack.phase("live")
        copies, limits = [], []
        for _ in range(repetitions):
            limits.append(_limit(there))
            copies.append(_move(ground, there))
            print(f"bench: {files:,} files move, {latency} ms: {copies[-1]}; limit {limits[-1]} s", flush=True)
            _back(ground)
    return {"files": files, "bytes": ground.bytes, "latency_ms": latency, "copies": copies, "limits": limits}


def _limit(endpoint: str) -> float:
    """Seconds in which concurrent PUTs alone bring the local copy into the other bucket."""
    store.empty_bucket(OTHER)
    drop_caches()
    start = time.monotonic()
    on_server("python3", f"{TOOLS}/loader.py", f"{MEDIA_STORE}-local-backup", endpoint, store.REGION, OTHER)
    return round(time.monotonic() - start, 2)


def _move(ground: Ground, endpoint: str) -> Record:
    store.empty_bucket(OTHER)
    drop_caches()
    stack = ground.stack
    for key, value in (("kind", "existing"), ("endpoint", endpoint), ("region", store.REGION), ("bucket", OTHER)):
        stack.set(f"stores.other.{key}", value)
    stack.set_secret("stores.other.accessKeyId", store.ACCESS_KEY_ID)
    stack.set_secret("stores.other.secretAccessKey", store.SECRET_ACCESS_KEY)
    stack.set("serve", "other")
    output, began, ended, through, needed = "", 0.0, 0.0, 0, Needed()
    with stack.popen("up", "--yes", "--skip-preview", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as up:
        assert up.stdout
        with needed.watched():
            for line in up.stdout:
                output += line
                if BEGIN in line:
                    began, through = time.monotonic(), _passed()
                elif END in line and not ended:
                    ended, through = time.monotonic(), _passed() - through
    assert up.returncode == 0 and ended, output
    return {
        "seconds": round(ended - began, 2), "through_server": through, "memory_mb": round(needed.memory, 1),
        "disk_mb": round(needed.disk, 1), "by_store": "by the store itself" in output,
    }  # fmt: skip


def _back(ground: Ground) -> None:
    """The media serve from the first bucket again."""
    ground.stack.set("serve", "store")
    ground.stack.must("up", "--yes", "--skip-preview")
    ground.stack.must("config", "rm", "--path", "stores.other")
    ground.stack.must("up", "--yes", "--skip-preview")


def _passed() -> int:
    """Bytes that went over the server's network so far."""
    told = server.ssh("cat /sys/class/net/host0/statistics/rx_bytes /sys/class/net/host0/statistics/tx_bytes")
    return sum(map(int, told.split()))


class Needed:
    """What the agent needs: memory of its unit and all in it, and disk more than at the start; at the most, in MB."""

    def __init__(self) -> None:
        self.memory = self.disk = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        first = _used()

        def look() -> None:
            with contextlib.suppress(IndexError, ValueError):  # a process that has just gone says half a line
                self.disk = max(self.disk, _used() - first)
                self.memory = max(self.memory, _resident())

        with looking(look, 0.5):
            yield


def _used() -> float:
    told = server.ssh(f"du --summarize --total --block-size=1 {FOLDERS} 2>/dev/null | tail -1", check=False)
    return int(told.split()[0]) / 1e6


def _resident() -> float:
    """Resident memory of all processes of the unit that works, without the page cache that the kernel counts to it."""
    script = (
        "for p in $(cat /sys/fs/cgroup/system.slice/matrix-media-store-converge.service/cgroup.procs 2>/dev/null); do "
        "grep VmRSS /proc/$p/status; done"
    )
    return sum(int(line.split()[1]) for line in server.ssh(script, check=False).splitlines()) / 1000
