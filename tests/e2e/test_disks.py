"""Servers whose media store is not a plain folder: people short of disk have links."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sandbox import server, synapse

from .world import STORE, Begin, mounted, on_disk, wait_for

#: Where a big disk's folder would be.
BIG = Path("/matrix/big")


def reboot() -> None:
    server.kill()
    server.up(wait=False)
    wait_for(answers, seconds=120, every=0.5)


def answers() -> bool:
    with contextlib.suppress(OSError):
        synapse.call("GET", "/_matrix/client/versions")
        return True
    return False


def test_a_store_behind_a_link_goes_forward_and_home_with_a_reboot_in_every_phase(begin: Begin) -> None:
    """Review, entry 23."""
    migration = begin("linked", thin=10)
    server.ssh("systemctl stop matrix-synapse")
    on_disk(BIG).mkdir()
    shutil.move(on_disk(STORE), on_disk(BIG / "media"))
    os.chown(on_disk(BIG), 991, 991)
    on_disk(STORE).symlink_to(BIG / "media")
    os.chown(on_disk(STORE), 991, 991, follow_symlinks=False)
    server.ssh("systemctl start matrix-synapse")
    for phase in ("prepare", "mirror", "live", "clean"):
        migration.up(phase)
        reboot()
        assert mounted(BIG / "media") == (phase in ("live", "clean")), phase
        assert migration.differing() == [], phase
        migration.upload()
    assert "6 unchanged" in migration.up("clean")
    migration.up("prepare")
    reboot()
    assert os.readlink(on_disk(STORE)) == str(BIG / "media") and not mounted(BIG / "media")
    assert migration.differing() == []
    assert not [path.name for path in on_disk(BIG).iterdir() if path.name != "media" and "removed" not in path.name]
