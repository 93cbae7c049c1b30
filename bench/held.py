"""For how long services stand still while one of them writes all the time: forward and back, small store and large."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox import server, stacks
from sandbox.server import kinds, matrix

from .distance import far_away
from .ground import BUCKET
from .noticed import server_with

#: Files that the media worker writes a second.
RATE = 300
#: It runs in the worker's container, so that it stands still with it.
WRITER = """\
import os, sys, time
rate, turn = int(sys.argv[1]), sys.argv[2]
folder = f"/matrix-media-store-parent/media-store/local_content/zz/{turn}"
os.makedirs(folder, exist_ok=True)
began, number = time.monotonic(), 0
while True:
    with open(f"{folder}/{number}", "wb") as file:
        file.write(os.urandom(2000))
    number += 1
    time.sleep(max(0, began + number / rate - time.monotonic()))
"""
Record = dict[str, Any]


@contextlib.contextmanager
def writing(turn: str) -> Iterator[None]:
    """The worker writes files all the time, in the body and before it."""
    worker, user = matrix.workers(kinds.current())[0].name, server.MATRIX_ID
    what = f"python3 - {RATE} {turn}"
    words = f"docker exec --interactive --user {user}:{user} {worker} {what}"
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(server.ssh, words, stdin=WRITER, check=False)
        time.sleep(1)  # it begins
        try:
            assert not writer.done(), writer.result()
            yield
            assert not writer.done(), writer.result()
        finally:
            server.ssh(f"pkill --full '^{what}'", check=False)


def held(files: int, repetitions: int) -> Record:
    """Times of both ways, in seconds, and how many files came in each window."""
    found: dict[str, list[Record]] = {"cutover": [], "way home": []}
    with far_away(0) as endpoint:
        server_with(files, endpoint)
        stack = stacks.existing("sandbox-bench", BUCKET)
        stack.set("store.endpoint", endpoint)
        stack.set("cutover.method", "hold")
        stack.phase("mirror")
        for turn in range(repetitions):
            for what, phase in (("cutover", "live"), ("way home", "mirror")):
                with writing(f"{what[0]}{turn}"):
                    stack.phase(phase)
                said = json.loads(stack.must("stack", "output", "server", "--json"))
                found[what].append({"held": said["services_held_seconds"], "late": said["window_files"]})
                print(f"bench: {files:,} files: {what}: {found[what][-1]}", flush=True)
    return {"files": files, "ways": found}
