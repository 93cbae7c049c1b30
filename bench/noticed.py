"""What people notice while the store changes: clients are at work, and each of their waits is noted.

It runs on a server as the playbook makes it, with Docker and a worker for media.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from sandbox import server, stacks, synapse
from sandbox.__main__ import prepare
from sandbox.clients import Clients, Wait
from sandbox.server import kinds, matrix

from . import media
from .contenders import MOUNT, mount_goofys, rsync
from .distance import far_away
from .ground import BUCKET, MEDIA_STORE, equip

#: Seconds that clients work before a change, to see what they wait without one, and after it.
BEFORE, AFTER = 10.0, 5.0
HELD, RESTARTED, BY_HAND = "held", "restarted", "by hand"
#: The changes in the order in which they follow each other: what it is, the phase it leads to, the mount's memory.
CHANGES = (("cutover", "live", "1G"), ("other settings of the mount", "live", "2G"), ("way home", "mirror", "2G"))
#: Seconds that a client thinks where the store is so many milliseconds away: with less, requests queue without a swap.
#: An upload's folders are made on the homeserver's one thread, and goofys asks the store some fourteen times for it.
THINKS = {0: 0.5, 20: 3.0}
_STOOD = re.compile(r"services stood still for ([0-9.]+) s")
Record = dict[str, Any]


def watched(token: str, people: list[synapse.Media], thinks: float, action: Callable[[], str]) -> Record:
    """What clients at work met while `action` changed the store; it returns what was said of that."""
    with Clients(token, people, thinks) as clients:
        time.sleep(BEFORE)
        before, began = clients.longest(), time.monotonic()
        output = action()
        ended = time.monotonic()
        time.sleep(AFTER)
    stood = _STOOD.search(output)
    return {
        "requests": len(clients.waits),
        "failed": len(clients.failures),
        "longest_before": round(before, 2),
        "longest": round(clients.longest(began, ended), 2),
        "dark": round(dark(clients.waits), 2),
        "stood_still": float(stood[1]) if stood else None,
        "waits": [[round(w.began - began, 2), round(w.seconds, 3), bool(w.failure)] for w in _small(clients.waits)],
    }


def _small(waits: list[Wait]) -> list[Wait]:
    return sorted((wait for wait in waits if wait.what != "large upload"), key=lambda wait: wait.began)


def dark(waits: list[Wait]) -> float:
    """The longest time in which no request succeeded, in seconds; large uploads do not count. It is pure."""
    ends = sorted(wait.began + wait.seconds for wait in _small(waits) if not wait.failure)
    return max((later - earlier for earlier, later in zip(ends, ends[1:], strict=False)), default=0.0)


def noticed(files: int, latency: int, repetitions: int, by_hand: bool = False, cache: str = "") -> Record:
    """Change the store beneath clients at work, with services held and restarted in turn, and as by hand."""
    found: dict[str, dict[str, list[Record]]] = {HELD: {}, RESTARTED: {}}
    with far_away(latency) as endpoint:
        token, people = server_with(files, endpoint)
        stack = stacks.existing("sandbox-bench", BUCKET)
        stack.set("store.endpoint", endpoint)
        stack.set("mount.cache", cache)
        stack.phase("mirror")
        for turn in range(repetitions):
            # Once is enough of what is so much longer.
            for way, method in ((HELD, "hold"), (RESTARTED, "restart"))[: 1 if turn else 2]:
                stack.set("cutover.method", method)
                for what, phase, memory in CHANGES:
                    stack.set("mount.memoryMax", memory)
                    seen = watched(token, people[:100], THINKS[latency], lambda: stack.phase(phase))  # noqa: B023
                    _note(found[way], what, seen)
        if by_hand:
            found[BY_HAND] = {}
            token, people = server_with(files, endpoint)  # of this program nothing is on it
            mount_goofys(endpoint, MOUNT)
            rsync()
            _note(found[BY_HAND], "cutover", watched(token, people[:100], THINKS[0], lambda: _by_hand(endpoint)))
    return {"files": files, "latency_ms": latency, "cache": bool(cache), "thinks": THINKS[latency], "ways": found}


def _note(into: dict[str, list[Record]], what: str, seen: Record) -> None:
    """Keep a record; the single waits of the first of a kind only, for the plot."""
    if what in into:
        del seen["waits"]
    into.setdefault(what, []).append(seen)
    print(f"bench: {what}: { ({name: seen[name] for name in seen if name != 'waits'}) }", flush=True)


def server_with(files: int, endpoint: str) -> tuple[str, list[synapse.Media]]:
    """A fresh server with so many files besides the seed's, an access token, and uploads that people look at."""
    kind = kinds.KINDS["docker"]
    prepare(kind)
    server.fresh(kind=kind)
    media.add(files)
    equip(endpoint)
    server.up()
    token, uploads = synapse.seeded_media()
    return token, uploads


def _by_hand(endpoint: str) -> str:
    """The manual procedure from the moment on in which all is stopped."""
    services = " ".join([*(f"{worker.name}.service" for worker in matrix.workers(kinds.current())), "matrix-synapse"])
    server.ssh(f"systemctl stop {services}")
    rsync()
    server.ssh(f"systemctl stop bench-goofys; mv {MEDIA_STORE} {MEDIA_STORE}-local-backup; mkdir {MEDIA_STORE}")
    server.ssh(f"chown {server.MATRIX_ID}:{server.MATRIX_ID} {MEDIA_STORE}")
    mount_goofys(endpoint, MEDIA_STORE)
    server.ssh(f"systemctl start {services}")
    while not server.answers():
        time.sleep(0.1)
    return ""
