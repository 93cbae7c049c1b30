"""What is believed and is not so: a recovery that ends, a disk that is there, a journal, a server, a stopped writer."""

from __future__ import annotations

import json
import time
from pathlib import Path

from sandbox import server, store

from ..e2e.world import STORE, VAR, journal, mounted, on_disk
from .injectors import Injector, agent_killed, disk_full, kill_processes, power_lost
from .scene import Scene

JOURNAL = VAR / "journal.json"
NETWORK = Path("/etc/systemd/network/10-host0.network")
LATE_UNIT = Path("/etc/systemd/system/late-disk.service")
LATE_DISK = STORE.parent.with_name("late-disk")
#: Seconds for which a fault lasts that must not end anything, and for which a server must stay out.
LASTS, STAYS_OUT = 25.0, 30.0
#: Writes on and on into one file, which stays open.
WRITER = """
import os, sys, time
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        file.write(b"more"); time.sleep(0.05)
"""


def nothing(scene: Scene) -> None:
    """The server itself is the fault."""


def recovery_killed(scene: Scene) -> None:
    """The agent, and for a while everybody who recovers after it."""
    agent_killed(scene)
    deadline = time.monotonic() + LASTS
    while time.monotonic() < deadline:
        kill_processes(r"agent\.pyz recover")
        time.sleep(0.05)  # the fault itself lasts


def _off(scene: Scene) -> None:
    server.kill()
    if scene.engine:
        scene.kill_engine()


def disk_comes_late(scene: Scene) -> None:
    """The media's disk is mounted some time after the boot."""
    _off(scene)
    storage, disk, unit = on_disk(STORE.parent), on_disk(LATE_DISK), on_disk(LATE_UNIT)
    storage.rename(disk)
    storage.mkdir()
    server.own(storage)
    mount = f"sleep {LASTS:.0f}; mount --bind {LATE_DISK} {STORE.parent}"
    unit.write_text(f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{mount}'\n")
    wanted = unit.parent / "multi-user.target.wants" / unit.name
    wanted.symlink_to(LATE_UNIT)
    server.up(wait=False)

    def undo() -> None:
        server.kill()
        for path in (wanted, unit):
            path.unlink()
        storage.rmdir()
        disk.rename(storage)
        server.up(wait=False)

    scene.healing.append(undo)


def disk_full_through_recovery(scene: Scene) -> None:
    """The disk is full when the server boots, and for some time after; what was laid aside for that is used up."""
    _off(scene)
    on_disk(VAR / "reserve").unlink(missing_ok=True)
    disk_full(VAR)(scene)
    server.up(wait=False)
    time.sleep(LASTS)  # the fault itself lasts
    assert not scene.services_run(), "the homeserver runs though nobody could write down who serves"


def journal_lost(scene: Scene) -> None:
    server.kill()
    on_disk(JOURNAL).unlink()
    server.up(wait=False)


def journal_is_older(scene: Scene) -> None:
    """The root disk was set back to before the cutover, and the media's was not."""
    server.kill()
    told = journal()
    older = {"phase": "mirror", "serving": "local", "owed": [], "generation": told["generation"] - 1, "stopped": []}
    on_disk(JOURNAL).write_text(json.dumps({**told, **older}))
    server.up(wait=False)


def _stays_out(scene: Scene) -> None:
    deadline = time.monotonic() + STAYS_OUT
    while time.monotonic() < deadline:
        assert not mounted(STORE), "the bucket of another server was mounted"
        assert not scene.services_run(), "the homeserver runs over another server's bucket"
        time.sleep(1)  # the fault itself lasts


def clone_boots(scene: Scene) -> None:
    """The same disk on another machine; this one is seen by its network card."""
    network = on_disk(NETWORK)
    text = network.read_text()
    network.write_text(text + "[Link]\nMACAddress=02:00:00:c1:09:e5\n")
    power_lost(scene)
    _stays_out(scene)

    def undo() -> None:
        server.kill()
        network.write_text(text)
        server.up(wait=False)

    scene.healing.append(undo)


def earlier_server_boots_after_adopt(scene: Scene) -> None:
    """Another server took the bucket, and this one is booted again; then it is told to take it back."""
    mark = {"server": "the new one", "id": "0" * 32, "epoch": 2}
    key = ".matrix-media-store/owner.json"
    store.client().put_object(Bucket=scene.migration.bucket, Key=key, Body=json.dumps(mark).encode())
    power_lost(scene)
    _stays_out(scene)

    def take_back() -> None:
        scene.migration.stack.set("store.adopt", "true")
        scene.up_again("live")

    scene.healing.append(take_back)


def writer_survives(name: str) -> Injector:
    """A process of the homeserver's user writes on, whatever becomes of the units."""

    def inject(scene: Scene) -> None:
        path = STORE / name
        on_disk(Path("/root/writer.py")).write_text(WRITER)
        on_disk(Path("/root")).chmod(0o711)
        on_disk(Path("/root/writer.py")).chmod(0o644)
        server.ssh(f"systemd-run --unit survivor --uid matrix python3 /root/writer.py {path}")

        def end() -> None:
            server.ssh("systemctl stop survivor")
            as_matrix = f"runuser -u matrix -- sha256sum {path}"
            scene.migration.before[name] = server.ssh(f"cd /; {as_matrix}").split()[0]

        scene.healing.append(end)

    return inject
