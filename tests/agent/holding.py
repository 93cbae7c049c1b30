"""A pretended server whose services can be held."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.media.walk import walk
from agent.migration import recovery
from agent.model.items import View
from agent.model.layout import MOUNT_UNIT
from agent.model.phases import Side
from agent.model.ports import Hear

from .conftest import Machine, NewServer
from .fakes import SYNAPSE, FakeBucket, PowerLoss
from .moves import fill, go

GROUP = f"/system.slice/{SYNAPSE}"
CONTAINER = View("4711", "/system.slice/docker-1.scope", ("/media/store",), contained=True)
ELSEWHERE = View("4712", "/system.slice/docker-2.scope", ("/media/store",), contained=True)


class Told:
    """A listener that tells of files and folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before = self._seen()

    def _seen(self) -> set[object]:
        folders = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_dir()}
        return {*walk(self.root, []), *folders}

    def take(self) -> set[str] | None:
        before, self.before = self.before, self._seen()
        return {one if isinstance(one, str) else one.path for one in before ^ self.before}  # type: ignore[attr-defined]


@contextlib.contextmanager
def listening(root: Path) -> Iterator[Told]:
    yield Told(root)


@dataclass
class Heard:
    """Tells of each object that was written since it was last asked, by the path that a container sees."""

    bucket: FakeBucket
    before: dict[str, bytes]
    #: Names of which it does not tell.
    unheard: set[str]

    def take(self) -> set[str] | None:
        now = dict(self.bucket.objects)
        written = {key for key, body in now.items() if self.before.get(key) is not body}
        self.before = now
        return {f"/media/store/{key}" for key in written - self.unheard}


def hearing(server: Machine, unheard: set[str]) -> Hear:
    """What hears of that server's mount."""

    @contextlib.contextmanager
    def hear(mount: Path) -> Iterator[Heard]:
        yield Heard(server.bucket, dict(server.bucket.objects), unheard)

    return hear


def fit(server: Machine) -> Machine:
    """A server whose services can be held, with a store that is in the bucket."""
    system, mounting = server.system, server.layout.mounting

    def written() -> None:
        for path in [each for each in mounting.rglob("*") if each.is_file()]:
            server.bucket.objects[str(path.relative_to(mounting))] = path.read_bytes()
            path.unlink()

    mounting.mkdir(parents=True)
    server.layout.held.parent.mkdir()
    system.freezable, system.mounting, system.on_write = True, mounting, written
    system.mounts_beside = lambda: server.journal.mounts_beside()
    server.listen = listening
    fill(server)
    go(server, "mirror")
    return server


def struck(
    new_server: NewServer, prepare: Callable[[Machine], Machine], act: Callable[[Machine], object]
) -> Iterator[tuple[int, Machine]]:
    """A prepared server for each operation of `act`, which the power went out or the agent was killed at."""
    counted = prepare(new_server())
    before = counted.power.used
    act(counted)
    operations = counted.power.used - before
    assert operations > 20
    for at in range(operations):
        fresh = prepare(new_server())
        fresh.power.left = at
        with pytest.raises(PowerLoss):
            act(fresh)
        yield at, fresh


def boot(server: Machine) -> None:
    """Power is back: nothing stands still, and what is enabled starts once recovery ran."""
    server.reboot()
    server.system.frozen_groups.clear()
    server.layout.held.unlink(missing_ok=True)
    recovery.recover(server.run(), boot=True)
    if server.journal.serving is Side.BUCKET:
        server.system.start([MOUNT_UNIT])  # it is enabled, or recovery began its start
    server.system.start([SYNAPSE])


def recovered(server: Machine) -> None:
    """The agent is gone, and recovery ran in its place."""
    server.power.left = 1_000_000
    recovery.recover(server.run())


def stopped(server: Machine) -> bool:
    return any(line.startswith("stop ") and SYNAPSE in line for line in server.system.log)
