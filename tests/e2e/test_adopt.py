"""A server that is on goofys since long before this program came: it takes the mount over, and nobody notices."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from sandbox import server, store, synapse
from sandbox.clients import Clients
from sandbox.demo import started

from .goofys import move_media_by_hand, on_the_playbooks_goofys
from .test_handover import UNITS, served, state
from .test_move import add_existing, move
from .world import (
    BACKUP,
    STORE,
    Begin,
    Migration,
    mounted,
    on_disk,
    operate,
    run_playbook,
    server_processes,
    synapse_started,
    wait_for,
)  # fmt: skip

#: A program that mounts a bucket, whoever started it.
MOUNTS = r"^\S*(goofys\S* -f|rclone\S* mount|mount\.rclone) "
SERVICES = "'matrix-synapse*.service'"
STOOD = re.compile(r"services stood still for ([0-9.]+) s")
#: As in test_held: seconds that a client may wait longer than without, and for which services may stand still.
LONGER, STILL = 2.0, 1.0


def adopting(migration: Migration) -> Migration:
    """Its stack takes over what is mounted."""
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    migration.stack.set("host.adoptMount", "true")
    migration.stack.set("phase", "clean")
    return migration


@pytest.mark.parametrize("kind", ["docker", pytest.param("plain", marks=pytest.mark.nightly)])
def test_the_playbooks_mount_is_taken_over_beneath_clients_at_work_and_the_media_come_home(
    begin: Begin, kind: str
) -> None:
    migration = begin(f"adopt-{kind}", kind=kind, thin=20)
    on_the_playbooks_goofys(migration)
    adopting(migration)
    since = started(SERVICES), synapse_started()
    preview = migration.stack.must("preview", "--diff")
    assert f"take over the mount of the bucket that serves, {PLAYBOOK_UNIT}" in preview, preview
    with Clients(migration.token, migration.media) as clients:
        time.sleep(5)
        before, began = clients.longest(), time.monotonic()
        output = migration.up("clean")
        ended = time.monotonic()
    assert (stood := STOOD.search(output)) and float(stood[1]) < STILL, output
    assert clients.failures == []
    assert clients.longest(began, ended) < before + LONGER
    assert (started(SERVICES), synapse_started()) == since, "nothing was restarted"
    migration.media += clients.uploaded
    migration.assert_serves_from_bucket()
    assert state(MOUNT_UNIT) == "active"
    wait_for(lambda: state(PLAYBOOK_UNIT) in ("inactive", "failed"), seconds=30, every=0.5)
    assert "as the stack says" in operate(migration, "status").stdout
    assert "6 unchanged" in migration.up("clean")

    server.kill()
    server.up(wait=False)
    wait_for(lambda: served(migration), seconds=120, every=0.5)
    assert (state(MOUNT_UNIT), state(PLAYBOOK_UNIT)) == ("active", "inactive")
    assert list(on_disk(STORE).iterdir()) == [] and on_disk(STORE).stat().st_mode & 0o777 == 0
    if kind == "docker":
        move(migration, add_existing(migration.stack, "second", "test-adopt-second"))

    refused = migration.stack.call("destroy", "--yes", "--skip-preview")
    assert refused.status != 0 and "out of vars.yml and run the playbook" in refused.output, refused.output
    migration.assert_serves_locally()
    run_playbook()  # without the lines
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert not on_disk(BACKUP).exists() and synapse.tree().items() >= migration.before.items()


GOOFYS_OF_ONES_OWN = """\
[Unit]
Before=matrix-synapse.service
[Service]
User=matrix
Environment=AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}
ExecStart=/opt/goofys/goofys -f --endpoint {endpoint} --region {region} {bucket} {store}
ExecStop=/bin/fusermount -u {store}
Restart=always
[Install]
WantedBy=multi-user.target
"""
FSTAB = (
    "media:{bucket} {store} rclone rw,nofail,_netdev,allow_other,default_permissions,uid={uid},gid={gid},"
    "dir_perms=0700,file_perms=0600,vfs_cache_mode={cache},config=/etc/rclone.conf,args2env 0 0\n"
)
RCLONE = """\
[media]
type = s3
provider = Other
endpoint = {endpoint}
region = {region}
access_key_id = {key}
secret_access_key = {secret}
"""


def on_a_mount_of_ones_own(migration: Migration, how: str) -> str:
    """The media are in the bucket, which a unit, or a line of /etc/fstab, mounts; returns the unit's name."""
    move_media_by_hand(migration)
    info = on_disk(STORE).stat()
    values = {
        "endpoint": store.ENDPOINT, "region": store.REGION, "bucket": migration.bucket, "store": STORE,
        "key": store.ACCESS_KEY_ID, "secret": store.SECRET_ACCESS_KEY, "uid": info.st_uid, "gid": info.st_gid,
    }  # fmt: skip
    if how == "a unit":
        unit = "media-in-bucket.service"
        on_disk(UNITS / unit).write_text(GOOFYS_OF_ONES_OWN.format(**values))
    else:
        unit = server.ssh(f"systemd-escape --path --suffix=mount {STORE}").strip()
        cache = "writes" if how == "a line with a cache" else "off"
        with on_disk(Path("/etc/fstab")).open("a") as file:
            file.write(FSTAB.format(**values, cache=cache))
        on_disk(Path("/etc/rclone.conf")).write_text(RCLONE.format(**values))
        server.ssh("ln -sf /opt/rclone/rclone /sbin/mount.rclone")
    server.ssh(f"systemctl daemon-reload && systemctl enable --now '{unit}' 2>/dev/null || systemctl start '{unit}'")
    wait_for(lambda: mounted(STORE), seconds=30, every=0.2)
    server.ssh("systemctl start matrix-synapse.service")
    adopting(migration)
    return unit


@pytest.mark.parametrize("how", ["a unit", pytest.param("a line of fstab", marks=pytest.mark.nightly)])
def test_a_mount_of_ones_own_is_taken_over_and_does_not_come_back_at_boot(begin: Begin, how: str) -> None:
    migration = begin(f"adopt-{how.replace(' ', '-')}", kind="plain", thin=20)
    unit = on_a_mount_of_ones_own(migration, how)
    since = synapse_started()
    assert f"serves, {unit}" in migration.stack.must("preview", "--diff")
    output = migration.up("clean")
    assert "services stood still for" in output and synapse_started() == since, output
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256
    server.kill()
    server.up(wait=False)
    wait_for(lambda: served(migration), seconds=120, every=0.5)
    assert state(MOUNT_UNIT) == "active" and len(server_processes(MOUNTS)) == 1
    migration.assert_serves_from_bucket()
    refused = migration.stack.call("destroy", "--yes", "--skip-preview")
    assert refused.status != 0 and f"{unit}, whose mount this program took over" in refused.output, refused.output
    on_disk(UNITS / unit).unlink(missing_ok=True)
    on_disk(Path("/etc/fstab")).write_text("")
    server.ssh("systemctl daemon-reload")
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()


@pytest.mark.nightly
def test_a_mount_that_is_not_the_stacks_bucket_or_holds_back_what_is_written_is_refused(begin: Begin) -> None:
    migration = begin("adopt-refused", kind="plain", thin=10)
    on_a_mount_of_ones_own(migration, "a line with a cache")
    since = synapse_started()
    refused = migration.try_up("clean")
    assert refused.status != 0 and "--vfs-cache-mode off" in refused.output, refused.output
    other = "test-adopt-other"
    store.empty_bucket(other)
    migration.stack.set("store.bucket", other)
    refused = migration.try_up("clean")
    assert refused.status != 0 and f"shows something else than bucket {other}" in refused.output, refused.output
    assert synapse_started() == since and served(migration)
