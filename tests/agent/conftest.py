"""A server in a temporary folder: real files, a bucket in memory, systemd and mounts pretended."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from agent import copying, cutover, owner, proof, restore
from agent.context import Context
from agent.journal import Journal
from agent.places import MOUNT_UNIT, STAGING_UNIT, Places
from agent.s3 import Object, Remainder, StoreError
from agent.settings import HostSettings, MigrationSettings, Settings, StoreSettings
from agent.system import CommandFailed
from agent.tree import Entry, walk

SYNAPSE = "matrix-synapse.service"


class PowerLoss(BaseException):
    """Ends the agent without a chance to clean up: whatever it tries after this raises too."""


@dataclass
class Power:
    """Lets so many operations pass, then none."""

    left: int = 1_000_000
    used: int = 0

    def tick(self) -> None:
        self.used += 1
        if self.left <= 0:
            raise PowerLoss
        self.left -= 1


@dataclass
class FakeBucket:
    """Objects by key, with ETags as S3 computes them for one part."""

    objects: dict[str, bytes] = field(default_factory=dict)
    power: Power = field(default_factory=Power)
    #: Names of objects that another customer's key encrypts, or none where the stack has one.
    locked: set[str] = field(default_factory=set)
    #: What stays of objects that were replaced or deleted.
    versions: list[Remainder] = field(default_factory=list)

    def _unlock(self, key: str) -> None:
        if key in self.locked:
            raise StoreError(400, "InvalidRequest", key)

    def set_patience(self, **_: Any) -> None:
        return

    def round_trip(self) -> float:
        return 0.0

    def remainders(self) -> Iterator[Remainder]:
        return iter([*(Remainder(key, "versionId", "latest") for key in sorted(self.objects)), *self.versions])

    def remove(self, item: Remainder) -> None:
        self.power.tick()
        if item in self.versions:
            self.versions.remove(item)
        else:
            del self.objects[item.key]

    def list(self, prefix: str = "", **_: Any) -> Iterator[Object]:
        self.power.tick()
        return iter([self._object(key) for key in sorted(self.objects) if key.startswith(prefix)])

    def _object(self, key: str) -> Object:
        body = self.objects[key]
        return Object(key, len(body), hashlib.md5(body).hexdigest())

    def head(self, key: str) -> Object | None:
        self._unlock(key)
        return self._object(key) if key in self.objects else None

    def get(self, key: str, customer_key: bool = True) -> bytes | None:
        if customer_key:
            self._unlock(key)
        return self.objects.get(key)

    def md5(self, key: str) -> str:
        self._unlock(key)
        return hashlib.md5(self.objects[key]).hexdigest()

    def put(self, key: str, body: bytes) -> None:
        self.power.tick()
        self.objects[key] = body
        self.locked.discard(key)

    def delete(self, key: str) -> None:
        self.power.tick()
        self.objects.pop(key, None)


@dataclass
class FakeSystem:
    """systemd and the kernel's mounts; a mount is only remembered, its folder stays bare."""

    store: Path
    staging: Path
    power: Power
    active: set[str] = field(default_factory=lambda: {SYNAPSE})
    mounts: set[Path] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    #: A state that systemd reports instead of the true one, and a unit that is gone.
    reported: str = ""
    gone: str = ""
    #: Other units that systemd knows, with their states; and those with a start to come.
    others: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    #: Called whenever the homeserver is started, to see over what.
    on_start: Callable[[], None] = lambda: None

    def run(self, argv: Sequence[str], **_: Any) -> str:
        self.power.tick()
        return ""

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        self.power.tick()
        self.log.append(" ".join(arguments))
        return ""

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def units(self, patterns: Sequence[str]) -> dict[str, str]:
        known = {SYNAPSE: self.reported or ("active" if SYNAPSE in self.active else "inactive"), **self.others}
        return {unit: state for unit, state in known.items() if any(fnmatch(unit, each) for each in patterns)}

    def queued(self, patterns: Sequence[str]) -> set[str]:
        return set(self.waiting)

    def stop(self, units: Sequence[str], timeout: float = 0) -> None:
        self.power.tick()
        self.log.append(f"stop {' '.join(units)}")
        self.active -= set(units)
        self.mounts -= {path for unit, path in self._mount_units() if unit in units}

    def start(self, units: Sequence[str], wait: bool = True, timeout: float = 0) -> None:
        self.power.tick()
        self.log.append(f"start {' '.join(units)}")
        if SYNAPSE in units:
            self.on_start()
        self.active |= set(units)
        self.mounts |= {path for unit, path in self._mount_units() if unit in units}
        if self.gone in units:
            raise CommandFailed(["systemctl", "start"], 5, f"Unit {self.gone} not found.")

    def _mount_units(self) -> list[tuple[str, Path]]:
        return [(MOUNT_UNIT, self.store), (STAGING_UNIT, self.staging)]

    def mounted(self, path: Path) -> bool:
        return path in self.mounts

    def layers(self, path: Path) -> list[str]:
        return ["the bucket"] if path in self.mounts else []

    def unmount(self, path: Path) -> None:
        self.power.tick()
        self.mounts.discard(path)

    def as_user(self, uid: int, gid: int, action: Callable[[], Any], timeout: float = 30) -> Any:
        return action()

    def wait_until(self, condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        return condition()

    def pause(self, seconds: float) -> None:
        self.log.append(f"pause {seconds}")

    def sync(self) -> None:
        return


@dataclass
class FakeListener:
    """Tells as the kernel does, by comparing two walks."""

    root: Path
    before: set[Entry]

    @classmethod
    @contextlib.contextmanager
    def listening(cls, root: Path) -> Iterator[FakeListener]:
        yield cls(root, set(walk(root, [])))

    def changed(self) -> set[str] | None:
        return {entry.path for entry in self.before ^ set(walk(self.root, []))}


@dataclass
class Server:
    """The pretended server, over and over: each `context()` is a new run of the agent on it."""

    root: Path
    bucket: FakeBucket
    system: FakeSystem
    power: Power
    settings: Settings

    @property
    def store(self) -> Path:
        return self.settings.host.store_path

    @property
    def backup(self) -> Path:
        return self.settings.host.backup_path

    @property
    def places(self) -> Places:
        return Places(self.root)

    def context(self) -> Context:
        context = Context(self.places, self.settings, self.system, Journal.load(self.places), say=lambda text: None)  # type: ignore[arg-type]
        context.bucket = self.bucket  # type: ignore[assignment]
        return context

    def reboot(self) -> None:
        """Power is back: nothing is mounted but what is enabled, and the homeserver starts after recovery."""
        self.power.left = 1_000_000
        self.system.active.clear()
        self.system.mounts.clear()

    def tree(self, root: Path | None = None) -> dict[str, bytes]:
        root = root or self.store
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def write(self, path: str, body: bytes, root: Path | None = None) -> None:
        target = (root or self.store) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """The agent sets it for its process, which here is that of all tests."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Server]:
    """Makes pretended servers. Only the newest one's power is counted at the journal and at renames."""
    made: list[Server] = []

    def upload(context: Context, source: Path, entries: Sequence[Entry], progress: object, method: str) -> None:
        for path in (entry.path for entry in entries):
            made[-1].power.tick()
            if (source / path).exists():
                made[-1].bucket.put(path, (source / path).read_bytes())

    def download(context: Context, target: Path, objects: Sequence[Object], progress: object) -> None:
        for path in (item.key for item in objects):
            made[-1].power.tick()
            if path in made[-1].bucket.objects:
                made[-1].write(path, made[-1].bucket.objects[path], target)

    real_save, real_rename, real_unlink = Journal.save, os.rename, os.unlink

    def save(self: Journal, places: Places, dearly: bool = True) -> None:
        made[-1].power.tick()
        real_save(self, places, dearly)

    def rename(source: Any, target: Any) -> None:
        made[-1].power.tick()
        real_rename(source, target)

    def unlink(path: Any, **options: Any) -> None:
        if made and str(path).startswith(str(made[-1].root)):
            made[-1].power.tick()
        real_unlink(path, **options)

    def make() -> Server:
        root = tmp_path_factory.mktemp("server")
        store = root / "matrix/storage/media-store"
        store.mkdir(parents=True)
        settings = Settings(
            host=HostSettings(stack="test", media_store=str(store)),
            store=StoreSettings(endpoint="https://store.test", region="r", bucket="b"),
            migration=MigrationSettings(exclude=["url_cache", "url_cache_thumbnails"]),
        )
        places, power = Places(root), Power()
        for folder in (places.units, places.staging):
            folder.mkdir(parents=True)
        for unit in (MOUNT_UNIT, STAGING_UNIT):
            (places.units / unit).touch()
        system = FakeSystem(store, places.staging, power)
        info = store.stat()
        made.append(Server(root, FakeBucket(power=power), system, power, settings))
        Journal(phase="prepare", facts={"uid": info.st_uid, "gid": info.st_gid, "mode": 0o750}).save(places)
        system.start([STAGING_UNIT])
        return made[-1]

    monkeypatch.setattr(Journal, "save", save)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(cutover, "listening", FakeListener.listening)
    monkeypatch.setattr(copying, "upload", upload)
    monkeypatch.setattr(copying, "download", download)
    for name in ("check", "claim", "release"):
        monkeypatch.setattr(owner, name, lambda context: None)
    monkeypatch.setattr(proof, "wait_for_homeserver", lambda context: None)
    monkeypatch.setattr(proof, "prove", lambda context: {"sample_files": 1})
    monkeypatch.setattr(restore, "SPARE_BYTES", 0)
    return make


@pytest.fixture
def server(new_server: Callable[[], Server]) -> Server:
    return new_server()
