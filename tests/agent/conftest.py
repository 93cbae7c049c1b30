"""A machine in a temporary folder: real files, the world outside pretended."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.host.beneath import beside
from agent.media import catalog
from agent.media.equality import Manifest
from agent.migration import pull, unaccounted
from agent.model import ports
from agent.model.layout import MOUNT_UNIT, RESERVED_PREFIX, STAGING_UNIT, Layout
from agent.model.phases import Owed, Phase, Side, Stage, Window
from agent.model.settings import CopySettings, HostSettings, MigrationSettings, MountSettings, Settings, StoreSettings
from agent.serving import mount_point, proof
from agent.state.journal import Journal
from agent.state.records import LocalStore, OpenWindow
from agent.state.run import Run, Server
from agent.store import ownership

from .fake_work import FakeCopier, FakeHomeserver, FakeListener
from .fakes import SYNAPSE, FakeBucket, FakeSystem, Power

__all__ = ["SYNAPSE", "Machine"]


@dataclass
class Machine:
    """The pretended server, over and over: each `run()` is a new run of the agent on it."""

    root: Path
    bucket: FakeBucket
    system: FakeSystem
    power: Power
    settings: Settings
    copier: FakeCopier
    listen: ports.Listen = FakeListener.listening
    hear: ports.Hear = lambda mount: contextlib.nullcontext()
    homeserver: FakeHomeserver = field(default_factory=FakeHomeserver)
    #: The bucket of each store by its name, where there are more than one.
    buckets: dict[str, FakeBucket] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    #: The milestones that runs reached, with what each was about.
    reached: list[tuple[str, str]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.settings.host.store_path

    @property
    def backup(self) -> Path:
        return self.settings.host.backup_path

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def agent(self) -> Server:
        """The server as the agent sees it."""
        return Server(
            self.layout, self.settings, self.system, lambda store: self.buckets.get(store.bucket, self.bucket)
        )

    @property
    def journal(self) -> Journal:
        return Journal.load(self.layout)

    def run(self, journal: Journal | None = None) -> Run:
        return Run(
            self.agent, journal or self.journal, self.copier, self.homeserver, self.listen, self.hear,
            say=self.said.append,
            reached=lambda milestone, about: self.reached.append((milestone, about)),
        )  # fmt: skip

    def hold(
        self,
        phase: Phase | None = None,
        serving: Side | None = None,
        window: tuple[Window, Stage] | None = None,
        units: Iterable[str] = (),
        owed: Iterable[Owed] = (),
        inode: int | None = None,
    ) -> Journal:
        """Write a journal that says so, whatever held before."""
        now = self.journal
        said = dataclasses.replace(
            now,
            phase=phase or now.phase,
            serving=serving or now.serving,
            window=OpenWindow(*window, units=tuple(units)) if window else None,
            owed=set(owed),
        )
        if inode is not None:
            said.note_local_copy("", inode)
        said.save()
        return said

    def reboot(self) -> None:
        """Power is back: nothing is mounted but what is enabled, and the homeserver starts after recovery."""
        self.power.left = 1_000_000
        self.system.active.clear()
        self.system.mounts.clear()

    def make_mount_point(self) -> None:
        with beside(self.store) as (parent, name):
            mount_point.make(parent, name)

    def tree(self, root: Path | None = None) -> dict[str, bytes]:
        root = root or self.store
        found = {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        return {path: body for path, body in found.items() if not path.startswith(RESERVED_PREFIX)}

    def write(self, path: str, body: bytes, root: Path | None = None) -> None:
        target = (root or self.store) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)

    def tell(self, **sections: dict[str, Any]) -> None:
        """Other settings, by section."""
        for name, values in sections.items():
            section = dataclasses.replace(getattr(self.settings, name), **values)
            self.settings = dataclasses.replace(self.settings, **{name: section})


_SHA256 = hashlib.sha256(Path("/bin/true").read_bytes()).hexdigest()
#: A mount whose programs are there at once.
PROGRAMS = MountSettings(
    goofys_url="file:///bin/true", goofys_sha256=_SHA256, rclone_url="file:///bin/true", rclone_sha256=_SHA256
)

NewServer = Callable[[], Machine]


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """The agent sets it for its process, which here is that of all tests."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True, scope="session")
def no_wait_for_the_disk() -> Iterator[None]:
    """Power is lost by an exception here, after which the kernel still has all that was written."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda fd: None)
        patched.setattr(catalog, "SYNCHRONOUS", "OFF")
        yield


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> NewServer:
    """Makes pretended servers. Only the newest one's power is counted at the journal and at renames."""
    made: list[Machine] = []
    real_save, real_rename, real_unlink = Journal.save, os.rename, os.unlink

    def save(self: Journal, dearly: bool = True) -> None:
        made[-1].power.tick()
        real_save(self, dearly)

    def rename(source: Any, target: Any, **options: Any) -> None:
        made[-1].power.tick()
        real_rename(source, target, **options)

    def unlink(path: Any, **options: Any) -> None:
        if made and ("dir_fd" in options or str(path).startswith(str(made[-1].root))):
            made[-1].power.tick()
        real_unlink(path, **options)

    def make() -> Machine:
        root = tmp_path_factory.mktemp("server")
        store = root / "matrix/storage/media-store"
        store.mkdir(parents=True)
        settings = Settings(
            host=HostSettings(stack="test", media_store=str(store)),
            mount=PROGRAMS,
            store=StoreSettings(endpoint="https://store.test", region="r", bucket="b"),
            copy=CopySettings(exclude=["url_cache", "url_cache_thumbnails"]),
            migration=MigrationSettings(clean_at_once=True),
        )
        layout, power = Layout(root), Power()
        for folder in (layout.units, layout.staging):
            folder.mkdir(parents=True)
        for unit in (MOUNT_UNIT, STAGING_UNIT):
            (layout.units / unit).touch()
        system, bucket = FakeSystem(store, layout.staging, power), FakeBucket(power=power)
        info, parent = store.stat(), store.parent.stat().st_ino
        made.append(Machine(root, bucket, system, power, settings, FakeCopier(bucket, power)))
        Journal(
            layout, phase=Phase.PREPARE, local_store=LocalStore(info.st_uid, info.st_gid, 0o750, parent=parent)
        ).save()
        system.start([STAGING_UNIT])
        return made[-1]

    monkeypatch.setattr(Journal, "save", save)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)
    for name in ("check", "check_serves", "claim", "release"):
        monkeypatch.setattr(ownership, name, lambda *_: 1)
    asked = unaccounted.purged

    def purged(run: Run, manifest: Manifest, names: Sequence[str]) -> set[str]:
        """Synapse's tables know no file that is gone, unless a test has real ones."""
        return {*names} if run.settings.host.database == "auto" else asked(run, manifest, names)

    monkeypatch.setattr(unaccounted, "purged", purged)
    monkeypatch.setattr(proof, "prove", lambda *_: {"sample_files": 1})
    monkeypatch.setattr(pull, "SPARE_BYTES", 0)
    return make


@pytest.fixture
def server(new_server: NewServer) -> Machine:
    return new_server()
