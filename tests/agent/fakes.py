"""The world outside, pretended: a bucket in memory, systemd and mounts that are only remembered, a homeserver."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, TypeVar

from agent.model.errors import CommandFailed, StoreError
from agent.model.items import Object, Remainder, View
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT
from agent.model.ports import Layer, OpenFolder
from agent.model.settings import StoreSettings

T = TypeVar("T")

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
    #: An object outside the prefix.
    outside: str = ""
    #: What stays of objects that were replaced or deleted.
    versions: list[Remainder] = field(default_factory=list)
    store: StoreSettings = StoreSettings()

    def _unlock(self, key: str) -> None:
        if key in self.locked:
            raise StoreError(400, "InvalidRequest", key)

    def set_patience(self, attempts: int = 0, timeout: float = 0) -> None: ...

    def date(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.timezone.utc)

    def answers(self) -> bool:
        return True

    def round_trip(self) -> float:
        return 0.0

    def first_outside(self) -> str:
        return self.outside

    def remainders(self) -> Iterator[Remainder]:
        return iter([*(Remainder(key, "versionId", "latest") for key in sorted(self.objects)), *self.versions])

    def remove(self, item: Remainder) -> None:
        self.power.tick()
        if item in self.versions:
            self.versions.remove(item)
        else:
            del self.objects[item.key]

    def list(self, prefix: str = "", attempts: int = 0, page: int = 1000) -> Iterator[Object]:
        self.power.tick()
        return iter([self._object(key) for key in sorted(self.objects) if key.startswith(prefix)])

    def _object(self, key: str) -> Object:
        body = self.objects[key]
        return Object(key, len(body), hashlib.md5(body).hexdigest())

    def head(self, key: str) -> Object | None:
        self._unlock(key)
        return self._object(key) if key in self.objects else None

    def has_other_key(self, key: str) -> bool:
        return key in self.locked

    def get(self, key: str, customer_key: bool = True) -> bytes | None:
        if customer_key:
            self._unlock(key)
        return self.objects.get(key)

    def md5(self, key: str) -> str:
        self._unlock(key)
        return hashlib.md5(self.objects[key]).hexdigest()

    def blocks(self, key: str) -> Iterator[bytes]:
        self._unlock(key)
        body = self.objects[key]
        return iter([body[at : at + 4] for at in range(0, len(body), 4)])

    def copy_from(self, source: StoreSettings, key: str) -> None:
        raise StoreError(403, "AccessDenied", key)

    def put(self, key: str, body: bytes) -> None:
        self.power.tick()
        self.objects[key] = body
        self.locked.discard(key)

    def put_medium(self, key: str, body: bytes) -> None:
        self.put(key, body)

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
    #: Which unit's program is seen at a path.
    origin: dict[Path, str] = field(default_factory=dict)
    #: A state that systemd reports instead of the true one, and a unit that is gone.
    reported: str = ""
    gone: str = ""
    #: Other units that systemd knows, with their states; and those with a start to come.
    others: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    #: Who has files of the store open for writing.
    writing: list[str] = field(default_factory=list)
    #: Synapse's processes, as folders in /proc; and what covers a mount point, with its file system's options.
    synapses: list[Path] = field(default_factory=list)
    covers: list[tuple[Path, str]] = field(default_factory=list)
    #: Whether control groups can be frozen, which are by now, what happens then, and who just made a folder each time.
    freezable: bool = False
    frozen_groups: set[str] = field(default_factory=set)
    on_freeze: Callable[[], None] = lambda: None
    #: Whether the mount's unit mounts at `mounting` now, and what follows when the store's owner did something.
    mounts_beside: Callable[[], bool] = lambda: False
    mounting: Path = Path("/nowhere")
    on_write: Callable[[], None] = lambda: None
    making: list[list[str]] = field(default_factory=list)
    #: Other mount namespaces that see the store; and those of them that see no mount there.
    seen: list[View] = field(default_factory=list)
    unseeing: list[View] = field(default_factory=list)
    #: Called whenever the homeserver is started, to see over what, and whenever it is told to stop.
    on_start: Callable[[], None] = lambda: None
    on_stop: Callable[[], None] = lambda: None

    def run(
        self,
        argv: Sequence[str],
        timeout: float | None = None,
        check: bool = True,
        stdin: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        self.power.tick()
        if argv[0] == "systemctl":
            self.log.append(" ".join(argv[1:]))
        return ""

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        self.power.tick()
        self.log.append(" ".join(arguments))
        return ""

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def units(self, patterns: Sequence[str]) -> dict[str, str]:
        known = {SYNAPSE: self.reported or ("active" if SYNAPSE in self.active else "inactive"), **self.others}
        known = {**dict.fromkeys(self.active - {SYNAPSE}, "active"), **known}
        return {unit: state for unit, state in known.items() if any(fnmatch(unit, each) for each in patterns)}

    def queued(self, patterns: Sequence[str]) -> set[str]:
        return set(self.waiting)

    def stop(self, units: Sequence[str], timeout: float = 0) -> None:
        self.power.tick()
        self.log.append(f"stop {' '.join(units)}")
        if SYNAPSE in units:
            self.on_stop()
        self.active -= set(units)
        self.mounts -= {path for path in self.mounts if self.origin.get(path) in units}

    def start(self, units: Sequence[str], wait: bool = True, timeout: float = 0) -> None:
        self.power.tick()
        self.log.append(f"start {' '.join(units)}")
        if SYNAPSE in units:
            self.on_start()
        self.active |= set(units)
        begun = {path: unit for unit, path in self.mount_units() if unit in units}
        self.mounts |= begun.keys()
        self.origin.update(begun)
        if self.gone in units:
            raise CommandFailed(["systemctl", "start"], 5, f"Unit {self.gone} not found.")

    def mount_units(self) -> list[tuple[str, Path]]:
        beside = self.mounts_beside() or self.store in self.mounts and self.mounting != Path("/nowhere")
        return [(MOUNT_UNIT, self.mounting if beside else self.store), (STAGING_UNIT, self.staging)]

    def mounted(self, path: Path) -> bool:
        return path in self.mounts

    def layers(self, path: Path) -> list[str]:
        return ["the bucket"] if path in self.mounts else []

    def has_disk(self, path: Path) -> bool:
        return False

    def kind(self, path: Path) -> str:
        return "fuse" if path in self.mounts else ""

    def make_private(self, path: Path) -> None:
        return

    def attach(self, source: Path, point: OpenFolder) -> None:
        self.power.tick()
        self.mounts.add(point.path)
        self.origin[point.path] = self.origin.get(source if source in self.origin else source.resolve(), "")

    def shows_same(self, path: Path, other: Path) -> bool:
        return {path, other} <= self.mounts and self.origin[path] == self.origin[other]

    def cover(self, point: OpenFolder, options: str, layer: Layer = Layer.BUCKET) -> None:
        self.power.tick()
        self.covers.append((point.path, options))

    def unmount(self, path: Path, layer: Layer = Layer.BUCKET) -> None:
        self.power.tick()
        self.mounts.discard(path)

    def as_user(self, uid: int, gid: int, action: Callable[[], T], timeout: float = 30) -> T:
        done = action()
        self.on_write()
        return done

    def can_freeze(self) -> bool:
        return self.freezable

    def groups_of_units(self, units: Sequence[str]) -> list[str]:
        return [f"/system.slice/{unit}" for unit in units]

    def freeze(self, groups: Sequence[str], seconds: float) -> bool:
        self.power.tick()
        self.frozen_groups |= set(groups)
        self.on_freeze()
        return True

    def are_still(self, groups: Sequence[str]) -> bool:
        return self.frozen_groups >= set(groups)

    def frozen(self, groups: Sequence[str]) -> list[str]:
        return sorted(self.frozen_groups & set(groups))

    def making_folders(self, groups: Sequence[str]) -> list[str]:
        return self.making.pop(0) if self.making else []

    def thaw(self, groups: Sequence[str]) -> None:
        self.frozen_groups -= set(groups)

    def views(self, folder: Path, but_for: Sequence[Path] = ()) -> list[View]:
        return self.seen

    def blind(self, seen: Sequence[View], folder: Path) -> list[View]:
        return [view for view in seen if view in self.unseeing]

    def open_for_writing(self, folder: Path) -> list[str]:
        return self.writing

    def processes(self, command: bytes) -> list[Path]:
        return self.synapses

    def wait_until(self, condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        return condition()

    def pause(self, seconds: float) -> None:
        self.log.append(f"pause {seconds}")

    def sync(self) -> None:
        return
