"""A media store that is a disk of its own: what is mounted over each other, and where its local copy is seen."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.host import mounts
from agent.host.beneath import Folder
from agent.host.system import System
from agent.migration import evidence
from agent.model.errors import Problem
from agent.model.phases import Phase, Side
from agent.model.ports import Layer
from agent.serving import admission, disk, guard, mount_point
from agent.state.records import LocalStore
from agent.state.run import Server

from .conftest import Machine

PLACE = Path("/nowhere")


def stack(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> System:
    """Mounts over each other at one place, the lowest first."""
    sources = {"cover": mounts.COVER, "floor": mounts.FLOOR}
    found = [mounts.Mount("8:1", "/", str(PLACE), kind, sources.get(kind, "it")) for kind in kinds]
    monkeypatch.setattr(mounts, "_mounts_at", lambda path: found)
    return System()


@pytest.mark.parametrize(
    ("kinds", "mounted", "layers", "has_disk"),
    [
        ([], False, 0, False),
        (["fuse"], True, 1, False),
        (["fuse.rclone"], True, 1, False),
        (["cover"], False, 1, False),
        (["cover", "fuse"], True, 2, False),
        (["ext4"], False, 0, True),
        (["fuseblk"], False, 0, True),
        (["fuse.mergerfs"], False, 0, True),
        (["ext4", "floor"], False, 0, True),
        (["ext4", "floor", "fuse"], True, 1, True),
        (["ext4", "floor", "cover", "fuse"], True, 2, True),
        (["fuse", "ext4"], False, 2, False),
        (["fuse", "ext4", "floor", "fuse"], True, 1, True),
    ],
)
def test_a_bucket_is_told_from_the_disk_beneath_it(
    monkeypatch: pytest.MonkeyPatch, kinds: list[str], mounted: bool, layers: int, has_disk: bool
) -> None:
    system = stack(monkeypatch, *kinds)
    assert (system.mounted(PLACE), len(system.layers(PLACE)), system.has_disk(PLACE)) == (mounted, layers, has_disk)


def alone(action: Callable[[], None]) -> None:
    """Do something in a mount namespace of its own, so that whatever it mounts is gone after that."""
    child = os.fork()
    if not child:
        status = 1
        try:
            assert ctypes.CDLL(None, use_errno=True).unshare(0x20000) == 0, os.strerror(ctypes.get_errno())
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "--make-rshared", "/"], check=True)  # as systemd has it
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def real(server: Machine) -> Server:
    """The server, with the kernel's own mounts and a disk at the store's place."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0750,uid=991,gid=991", "disk", server.store], check=True)
    (server.store / "medium").write_text("picture")
    return Server(server.layout, server.settings, System())


def move(server: Server, old: Path, new: Path) -> None:
    with Folder.at(old.parent) as parent:
        disk.move(server, parent, old.name, new.name)


def test_a_disk_gets_another_name_without_being_moved_and_comes_home_as_it_was(server: Machine) -> None:
    def there_and_back() -> None:
        agent = real(server)
        store, backup, removing = server.store, server.backup, agent.settings.host.removing_path
        for old, new in [(store, backup), (backup, removing), (removing, backup)]:
            move(agent, old, new)
            assert mount_point.is_bare(agent.system, store), "nobody can write there"
            assert not list(store.iterdir()) and (new / "medium").read_text() == "picture"
            assert old == store or not old.exists()
        with pytest.raises(OSError, match="Permission denied"):
            agent.system.as_user(991, 991, lambda: (store / "new").write_text("x"))
        move(agent, backup, store)
        assert [path.name for path in store.iterdir()] == ["medium"] and not backup.exists()
        assert [mount.source for mount in mounts._mounts_at(store)] == ["disk"]
        assert not agent.system.has_disk(server.layout.disk)

    alone(there_and_back)


def test_after_a_power_loss_the_disk_is_where_it_was_before(server: Machine) -> None:
    def boot() -> None:
        agent = real(server)
        move(agent, server.store, server.backup)
        for place in (server.backup, server.layout.disk):  # what a boot forgets
            agent.system.unmount(place, Layer.DISK)
        agent.system.unmount(server.store, Layer.FLOOR)
        assert agent.system.has_disk(server.store) and not agent.system.has_disk(server.backup)
        for _ in range(2):
            disk.settle(agent.system, agent.settings.host, agent.layout)
            assert (server.backup / "medium").read_text() == "picture"
            assert [mount.source for mount in mounts._mounts_at(server.store)] == ["disk", mounts.FLOOR]

    alone(boot)


def test_what_is_in_the_way_of_a_disk_is_named_and_left_alone(server: Machine) -> None:
    def refused() -> None:
        agent = real(server)
        server.backup.mkdir()
        os.chown(server.backup, 991, 991)
        (server.backup / "other").write_text("somebody's")
        with pytest.raises(Problem, match="is in the way"):
            move(agent, server.store, server.backup)
        assert (server.backup / "other").read_text() == "somebody's"
        assert not agent.system.has_disk(server.backup)

    alone(refused)


def test_a_name_that_somebody_else_wrote_on_the_disk_does_not_count(server: Machine) -> None:
    def forged() -> None:
        agent = real(server)
        (server.store / disk.NAME).write_text("../../../etc")
        with pytest.raises(Problem, match="did not write"):
            disk.settle(agent.system, agent.settings.host, agent.layout)
        os.chown(server.store / disk.NAME, 991, 991)
        disk.settle(agent.system, agent.settings.host, agent.layout)
        assert (server.store / "medium").read_text() == "picture"

    alone(forged)


@pytest.mark.parametrize("damage", ["gone", "unreadable"])
def test_no_floor_and_no_bucket_is_taken_off_a_disk_that_says_no_name(server: Machine, damage: str) -> None:
    def damaged() -> None:
        agent = real(server)
        move(agent, server.store, server.backup)
        (server.backup / disk.NAME).unlink()
        if damage == "unreadable":
            (server.backup / disk.NAME).mkdir()
        with contextlib.suppress(Problem):
            disk.settle(agent.system, agent.settings.host, agent.layout)
        assert [mount.source for mount in mounts._mounts_at(server.store)] == ["disk", mounts.FLOOR]
        move(agent, server.backup, server.store)
        assert (server.store / "medium").read_text() == "picture"

    alone(damaged)


def test_a_view_of_the_disk_that_shares_mounts_is_made_private_by_the_next_run(server: Machine) -> None:
    """Somebody was killed between the two calls."""

    def shared() -> None:
        agent = real(server)
        server.layout.disk.mkdir(parents=True)
        subprocess.run(["mount", "--bind", server.store, server.layout.disk], check=True)
        move(agent, server.store, server.backup)
        assert (server.backup / "medium").read_text() == (server.layout.disk / "medium").read_text() == "picture"

    alone(shared)


def test_a_disk_that_comes_late_is_waited_for_and_the_bucket_is_not_believed(server: Machine) -> None:
    """The folder beneath it may look like our mount point."""
    store = LocalStore(991, 991, 0o750, is_disk=True)
    server.store.rmdir()
    server.store.mkdir(mode=0)
    server.hold(serving=Side.LOCAL, phase=Phase.MIRROR)
    journal = dataclasses.replace(server.journal, local_store=store)
    journal.save()
    found = evidence.journal_of(server.agent)
    assert (found.serving, found.phase) == (Side.LOCAL, Phase.MIRROR)
    assert "no disk is mounted" in guard.reason_to_wait(server.agent, found)


def test_a_server_whose_store_is_a_folder_has_it_renamed(server: Machine) -> None:
    with Folder.at(server.store.parent) as parent:
        disk.move(server.agent, parent, server.store.name, server.backup.name)
    assert server.backup.is_dir() and mount_point.is_what_it_is(server.store.lstat())


def test_where_a_disk_was_taken_away_after_clean_the_bucket_serves_on(server: Machine) -> None:
    """What is left at the store's path then is the folder that the disk was mounted over."""
    (server.store / "older").write_text("from before the disk")
    server.hold(serving=Side.BUCKET, phase=Phase.CLEAN)
    dataclasses.replace(server.journal, local_store=LocalStore(991, 991, 0o750, is_disk=True)).save()
    with pytest.raises(Problem, match="is the local media store"):
        admission.check(server.system, server.settings, server.journal, server.store)
    (server.store / "older").unlink()
    for phase, refused in ((Phase.LIVE, True), (Phase.CLEAN, False)):
        server.hold(serving=Side.BUCKET, phase=phase)
        with pytest.raises(Problem) if refused else contextlib.nullcontext():
            admission.check(server.system, server.settings, server.journal, server.store)
    assert mount_point.is_bare(server.system, server.store)
