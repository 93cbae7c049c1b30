"""A pretended server whose media move from one bucket to another."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence

import pytest

from agent.copying import trial
from agent.migration import move
from agent.model.layout import MOUNT_UNIT, STAGING_UNIT
from agent.model.phases import Phase, Side
from agent.model.settings import StoreSettings
from agent.serving import proof
from agent.setup import mount as laying
from agent.setup import move as beginning
from agent.setup import preflight
from agent.state.run import Server, keep_settings

from .conftest import Machine
from .fakes import FakeBucket
from .holding import fit, hearing
from .moves import go

OLD, NEW = "bucket-old", "bucket-new"


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of programs and of a real mount succeeds."""
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(trial, "try_copies", lambda *_: None)
    monkeypatch.setattr(proof, "write_probe", lambda *_: None)
    monkeypatch.setattr(beginning, "install_packages", lambda *_: None)
    monkeypatch.setattr(beginning, "lay_programs", lambda *_: set())


def live(server: Machine) -> Machine:
    """A server that is live from the old bucket, with a new one that is empty."""
    prepared(server)
    go(server, "live")
    server.system.log.clear()
    server.said.clear()
    return server


def said_to_be_live(server: Machine) -> Machine:
    """The same, sooner: there is no local copy."""
    prepared(server)
    shutil.rmtree(server.store)
    server.make_mount_point()
    server.hold(phase=Phase.CLEAN, serving=Side.BUCKET)
    server.system.start([MOUNT_UNIT])
    server.system.log.clear()
    return server


def prepared(server: Machine) -> Machine:
    """A server whose media are in the old bucket too."""
    server.tell(store={"bucket": OLD})
    fit(server)
    server.buckets = {OLD: server.bucket, NEW: FakeBucket(power=server.power)}
    server.copier.buckets = server.buckets
    server.hear = hearing(server, set())
    keep_settings(server.layout, {name: dataclasses.asdict(getattr(server.settings, name)) for name in
                                  ("host", "store", "mount", "copy", "migration", "cutover")})  # fmt: skip
    laying.lay_files(server.agent, server.journal)
    watch(server)
    return server


def watch(server: Machine) -> None:
    """Know of which bucket each mount's program is: of the one that its unit named when it was started."""
    system, real = server.system, server.system.start
    shows: dict[str, str] = {MOUNT_UNIT: OLD}
    system.shows = shows  # type: ignore[attr-defined]

    def start(units: Sequence[str], wait: bool = True, timeout: float = 0) -> None:
        begun = [unit for unit in units if unit in (MOUNT_UNIT, STAGING_UNIT) and unit not in system.active]
        real(units, wait, timeout)
        for unit in begun:
            text = (server.layout.units / unit).read_text()
            shows[unit] = NEW if NEW in text else OLD

    system.start = start  # type: ignore[method-assign]


def served(server: Machine) -> str:
    """The bucket that is mounted as the media store."""
    assert server.system.mounted(server.store)
    found: str = server.system.shows[server.system.origin[server.store]]  # type: ignore[attr-defined]
    return found


def ask(server: Machine, bucket: str = NEW, prefix: str = "", name: str = "new") -> None:
    """Tell the server of another store, as a stack does that names it."""
    asked = StoreSettings(name=name, endpoint="https://store.test", region="r", bucket=bucket, prefix=prefix)
    run = server.run()
    now = dataclasses.replace(server.agent, settings=dataclasses.replace(server.settings, store=asked))
    assert beginning.is_another(server.agent, now)
    beginning.begin(dataclasses.replace(run, server=now))


def change(server: Machine) -> None:
    ask(server)
    go_on(server)


def go_on(server: Machine) -> None:
    move.move(told(server).run(), lambda: told(server).run())


def told(server: Machine) -> Machine:
    """The server with the settings that lie on it."""
    server.settings = Server.load(server.layout).settings
    return server


def files_in(bucket: FakeBucket) -> dict[str, bytes]:
    return {key: body for key, body in bucket.objects.items() if not key.startswith(".matrix-media-store/")}
