"""What goes wrong while a cache in front of the bucket owes it uploads."""

from __future__ import annotations

import signal

from sandbox import relay, server

from ..e2e.owed import owed, write_beside
from ..e2e.world import STORE
from .injectors import Injector, key_revoked, kill_processes, store_in
from .scene import Scene

#: Files that the bucket lacks when the fault comes, besides the uploads of whoever uploads all the time.
OWED = 20
MOUNT = r"matrix-media-store/rclone\S* mount .*mounting "


def nothing(scene: Scene) -> None:
    """The bucket is away, and that is all."""


def mount_killed(scene: Scene) -> None:
    kill_processes(MOUNT)


def mount_hangs(scene: Scene) -> None:
    kill_processes(MOUNT, signal.SIGSTOP)


def owing(inject: Injector, seconds: float = 0) -> Injector:
    """The store takes no connection, what is written is owed, and then something happens.

    The store is back after so many seconds, or once it is healed.
    """

    def meanwhile(scene: Scene) -> None:
        _write(scene)
        inject(scene)

    def away(scene: Scene) -> None:
        _know_the_folder(scene)
        store_in(relay.Mode.REFUSING, seconds, meanwhile)(scene)

    return away


def key_revoked_owing(scene: Scene) -> None:
    _know_the_folder(scene)
    key_revoked(scene)
    _write(scene)


def _know_the_folder(scene: Scene) -> None:
    """What the mount was never asked for cannot be written to while the bucket is away."""
    server.ssh(f"ls {STORE}/{scene.migration.media[0].key.rpartition('/')[0]}")


def _write(scene: Scene) -> None:
    for number in range(OWED):
        write_beside(scene.migration, number)
    assert owed() >= OWED, f"the cache owes {owed()} files"
