"""A pretended server with a cache in front of its bucket, and a kernel that tells what is written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.serving import write_cache
from agent.serving.write_cache import Cache

from .conftest import Machine
from .holding import fit

LAST = "local_content/zz/zz/last"


class Heard:
    """Tells the names that a test says, to everybody who listens."""

    def __init__(self) -> None:
        self.listeners: list[set[str]] = []

    def tell(self, name: str) -> None:
        for names in self.listeners:
            names.add(f"/media/store/{name}")

    @contextlib.contextmanager
    def listen(self, mount: Path) -> Iterator[Any]:
        names: set[str] = set()
        self.listeners.append(names)

        class One:
            @staticmethod
            def take() -> set[str] | None:
                told = {*names}
                names.clear()
                return told

        yield One()


def note(cache: Cache, name: str, dirty: bool) -> None:
    """As rclone writes it."""
    path = cache.notes / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Size": 3, "Rs": [], "Fingerprint": "", "Dirty": dirty}, indent="\t"))


def with_cache(server: Machine, folder: Path) -> Cache:
    """Services can be held, and there is to be a cache."""
    fit(server)
    folder.mkdir(mode=0o700)
    server.tell(mount={"program": "rclone", "cache": "1G", "cache_folder": str(folder)})
    cache = write_cache.wanted(server.agent)
    assert cache
    return cache
