"""A cache in front of the bucket: hot media are there when the bucket is not, and what it owes is never lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sandbox import server, store, synapse
from sandbox.clients import Clients
from sandbox.demo import started

from .owed import FOLDER, owed, write_beside
from .test_move import SERVICES, STILL, STOOD, add_existing, move
from .world import STORE, Begin, Migration, mounted, operate, own_disk, subset, synapse_runs, synapse_started, wait_for

#: For so long the bucket is away.
AWAY_SECONDS = 30.0


def with_cache(migration: Migration, size: str = "1G") -> Migration:
    migration.stack.set("mount.cache", size)
    migration.up("live")
    return migration


def remember(migration: Migration, clients: Clients) -> None:
    migration.before.update({item.key: item.sha256 for item in clients.uploaded})
    migration.media += clients.uploaded[:10]


def test_with_a_cache_media_go_there_mount_anew_and_come_home_beneath_clients_who_notice_nothing(
    begin: Begin,
) -> None:
    migration = with_cache(begin("cache", kind="docker", thin=20))
    since = started(SERVICES), synapse_started()
    for size in ("2G", "", "1G"):
        migration.stack.set("mount.cache", size)
        with Clients(migration.token, migration.media) as clients:
            time.sleep(3)
            output = migration.stack.must("up", "--yes", "--skip-preview")
        assert clients.failures == [], output
        assert (stood := STOOD.search(output)) and float(stood[1]) < STILL, output
        remember(migration, clients)
    wait_for(lambda: owed() == 0, every=0.5)
    migration.assert_serves_from_bucket()
    told = operate(migration, "status")
    assert told.returncode == 0 and "owes nothing" in told.stdout, told.stdout
    move(migration, add_existing(migration.stack, "second", "test-cache-second"))
    with Clients(migration.token, migration.media) as clients:
        time.sleep(3)
        output = migration.up("prepare")
    assert clients.failures == [] and (stood := STOOD.search(output)) and float(stood[1]) < STILL, output
    remember(migration, clients)
    assert (started(SERVICES), synapse_started()) == since, "nothing was restarted"
    migration.assert_serves_locally()
    assert server.ssh(f"ls {FOLDER} 2>/dev/null", check=False) == "", "the local store serves"


@pytest.mark.nightly
@pytest.mark.parametrize("killed", ["nothing", "the mount", "the server"])
def test_while_the_bucket_is_away_hot_media_are_served_and_nothing_that_was_taken_is_lost(
    begin: Begin, killed: str
) -> None:
    migration = with_cache(begin(f"cache-away-{killed.replace(' ', '-')}", kind="docker", thin=20))
    assert migration.differing() == []  # read once, they are hot
    store.down()
    try:
        for number in range(20):
            write_beside(migration, number)
        assert owed() == 20
        assert migration.differing() == [], "from the server's disk"
        if killed == "the mount":
            server.ssh("systemctl kill --signal=SIGKILL matrix-media-store.service")
        elif killed == "the server":
            server.kill()
            server.up(wait=False)
        else:
            # An administrator hears of it, and nothing is moved meanwhile.
            wait_for(lambda: "do not get into the bucket" in operate(migration, "status").stdout, every=5)
            refused = migration.try_up("prepare")
            assert refused.status != 0 and mounted(STORE), refused.output
            assert migration.differing() == []
    finally:
        store.up()
    wait_for(synapse_runs, seconds=180, every=0.5)
    wait_for(lambda: owed() == 0, seconds=120, every=0.5)
    migration.assert_serves_from_bucket()
    migration.up("prepare")
    migration.assert_serves_locally()
    assert subset(migration.before, synapse.tree()) == []


def free() -> int:
    """Bytes that are free on the disk of the cache."""
    return int(server.ssh(f"df --output=avail --block-size=1 {FOLDER} | tail -1"))


def test_where_its_disk_gets_full_the_cache_gives_way_and_uploads_go_on(begin: Begin) -> None:
    """More comes than fits beside what must stay free on its disk of 450 MB."""
    migration = begin("cache-full", kind="plain", thin=20)
    with own_disk(Path(FOLDER), "ext4"):
        migration.stack.set("mount.cacheKeepFree", "200M")
        with_cache(migration, "5G")
        left = []
        for _ in range(50):
            migration.upload(8_000_000)
            wait_for(lambda: owed() == 0, every=0.2)  # what is not in the bucket yet never gives way
            left.append(free())
        assert min(left) > 20_000_000, left
        wait_for(lambda: free() > 195 << 20, every=0.5)
        assert migration.differing() == [], "what gave way comes from the bucket"
        assert operate(migration, "status").returncode == 0
        migration.up("prepare")
        migration.assert_serves_locally()
