"""Servers whose media store is not a plain folder: people short of disk have volumes and links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sandbox import server, synapse

from .world import BACKUP, STORE, Begin, Migration, mounted, on_disk, own_disk, subset, wait_for

#: Where a big disk's folder would be.
BIG = Path("/matrix/big")


def reboot() -> None:
    server.kill()
    server.up(wait=False)
    wait_for(server.answers, seconds=120, every=0.5)


def forward_and_home(migration: Migration, store: Path) -> None:
    """Through all phases and back, with a reboot in each."""
    for phase in ("prepare", "mirror", "live", "clean"):
        migration.up(phase)
        reboot()
        assert mounted(store) == (phase in ("live", "clean")), phase
        assert migration.differing() == [], phase
        migration.upload()
    assert "6 unchanged" in migration.up("clean")
    migration.up("prepare")
    reboot()
    assert not mounted(store)
    assert migration.differing() == []


@pytest.mark.nightly
def test_a_store_behind_a_link_goes_forward_and_home_with_a_reboot_in_every_phase(begin: Begin) -> None:
    """Review, entry 23."""
    migration = begin("linked", thin=10, kind="plain")  # a container would not see where the link leads
    server.down()
    on_disk(BIG).mkdir()
    shutil.move(on_disk(STORE), on_disk(BIG / "media"))
    os.chown(on_disk(BIG), 991, 991)
    on_disk(STORE).symlink_to(BIG / "media")
    os.chown(on_disk(STORE), 991, 991, follow_symlinks=False)
    server.up()
    forward_and_home(migration, BIG / "media")
    assert os.readlink(on_disk(STORE)) == str(BIG / "media")
    assert not [path.name for path in on_disk(BIG).iterdir() if path.name != "media" and "removed" not in path.name]


def test_a_store_that_is_a_disk_goes_forward_and_home_with_a_reboot_in_every_phase(begin: Begin) -> None:
    """Review, entry 23."""
    migration = begin("volume", thin=10)
    with own_disk(STORE, "ext4"):
        before = on_disk(STORE).stat()
        wait_for(server.answers, seconds=120, every=0.5)
        migration.up("live")
        assert server.ssh(f"cat {BACKUP}/.matrix-media-store.name") == BACKUP.name
        forward_and_home(migration, STORE)
        after = on_disk(STORE).stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        assert {path.name for path in on_disk(STORE).iterdir() if path.name.startswith((".", "lost"))} == {
            "lost+found", ".matrix-media-store",
        }  # fmt: skip
        assert [path.name for path in on_disk(STORE).parent.iterdir() if "backup" in path.name] == []
        migration.stack.must("destroy", "--yes")
        assert "matrix-media-store" not in server.ssh("cat /proc/self/mountinfo")
        assert migration.differing() == []


@pytest.mark.nightly
def test_a_store_with_a_folder_on_another_disk_goes_forward_and_home_with_a_reboot_in_every_phase(begin: Begin) -> None:
    """Review, entry 23."""
    migration = begin("folder", thin=10, kind="plain")
    link, target = on_disk(STORE) / "local_thumbnails", Path("/matrix/big/local_thumbnails")
    with own_disk(target.parent, "ext4"):
        server.down()
        shutil.move(link, on_disk(target))
        server.own(on_disk(target))
        link.symlink_to(target)
        before = link.lstat()
        server.up()
        wait_for(server.answers, seconds=120, every=0.5)
        assert migration.differing() == []
        migration.up("live")
        wanted = {path: digest for path, digest in migration.before.items() if path.startswith("local_thumbnails/")}
        assert wanted and subset(wanted, migration.objects()) == []
        forward_and_home(migration, STORE)
        after = link.lstat()
        assert os.readlink(link) == str(target)
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        home = synapse.tree(on_disk(target))
        assert subset({path.partition("/")[2]: digest for path, digest in wanted.items()}, home) == []
        assert [path.name for path in on_disk(target).iterdir() if path.name.endswith("incoming")] == []
