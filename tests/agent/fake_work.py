"""Who works on the pretended server: a listener, a copier, a homeserver."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.media.walk import walk
from agent.model.items import Entry, Object
from agent.model.settings import StoreSettings
from agent.state.run import Server

from .fakes import FakeBucket, Power


@dataclass
class FakeListener:
    """Tells as the kernel does, by comparing two walks."""

    root: Path
    before: set[Entry]

    @classmethod
    @contextlib.contextmanager
    def listening(cls, root: Path) -> Iterator[FakeListener]:
        yield cls(root, set(walk(root, [])))

    def take(self) -> set[str] | None:
        before, self.before = self.before, set(walk(self.root, []))
        return {entry.path for entry in before ^ self.before}


@dataclass
class FakeCopier:
    """Copies file by file; each is an operation."""

    bucket: FakeBucket
    power: Power
    #: All buckets by name, where there are several.
    buckets: dict[str, FakeBucket] = field(default_factory=dict)

    def prepare(self) -> None:
        return

    def to(self, server: Server) -> FakeCopier:
        bucket = server.bucket
        assert isinstance(bucket, FakeBucket)
        return FakeCopier(bucket, self.power, self.buckets)

    def across(
        self,
        source: StoreSettings,
        objects: Sequence[Object],
        owner: Any,
        progress: Any,
        deadline: float | None = None,
    ) -> None:
        for key in (item.key for item in objects):
            self.power.tick()
            if key in self.buckets[source.bucket].objects:
                self.bucket.put(key, self.buckets[source.bucket].objects[key])

    def upload(
        self,
        source: Path,
        entries: Sequence[Entry],
        owner: Any,
        progress: Any,
        method: str,
        deadline: float | None = None,
    ) -> None:
        for path in (entry.path for entry in entries):
            self.power.tick()
            if (source / path).exists():
                self.bucket.put(path, (source / path).read_bytes())

    def download(
        self, target: Path, objects: Sequence[Object], owner: Any, progress: Any, deadline: float | None = None
    ) -> None:
        for path in (item.key for item in objects):
            self.power.tick()
            if path in self.bucket.objects:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_bytes(self.bucket.objects[path])


class FakeHomeserver:
    """A homeserver that answers at once."""

    def trouble(self) -> str:
        return ""

    def wait(self) -> None:
        return

    def upload(self, body: bytes) -> tuple[str, str]:
        raise http.client.HTTPException("nobody uploads here")

    def download(self, server: str, media_id: str) -> bytes:
        raise http.client.HTTPException("nobody downloads here")
