"""A server that is on goofys since long before this program came: it takes the mount over, and nobody notices."""

from __future__ import annotations

import re
import time

import pytest

from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from components import playbook
from sandbox import server, store, synapse
from sandbox.clients import Clients
from sandbox.demo import started

from .test_handover import served, state
from .world import BACKUP, STORE, Begin, Migration, on_disk, operate, run_playbook, synapse_started, wait_for

SERVICES = "'matrix-synapse*.service'"
STOOD = re.compile(r"services stood still for ([0-9.]+) s")
#: As in test_held: seconds that a client may wait longer than without, and for which services may stand still.
LONGER, STILL = 2.0, 1.0


def on_the_playbooks_goofys(begin: Begin, name: str, kind: str, thin: int) -> tuple[Migration, dict[str, str | bool]]:
    """A server whose media went into the bucket by hand, months ago: nothing of this program is on it.

    Returns the lines of its vars.yml too.
    """
    migration = begin(name, kind=kind, thin=thin)
    server.ssh("systemctl stop matrix-synapse.service")
    s3 = store.client()
    for path in migration.before:
        s3.upload_file(str(on_disk(STORE) / path), migration.bucket, path)
    server.ssh(f"find {STORE} -mindepth 1 -delete")
    lines = {
        **playbook.variables(store.ENDPOINT, store.REGION, migration.bucket, ""),
        **playbook.keys(store.ACCESS_KEY_ID, store.SECRET_ACCESS_KEY),
    }
    run_playbook(lines)
    wait_for(lambda: state(PLAYBOOK_UNIT) == "active" and served(migration), seconds=90, every=0.5)
    migration.stack.set("host.adoptMount", "true")
    migration.stack.set("phase", "clean")
    return migration, lines


@pytest.mark.parametrize("kind", ["docker", "plain"])
def test_the_playbooks_mount_is_taken_over_beneath_clients_at_work_and_the_media_come_home(
    begin: Begin, kind: str
) -> None:
    migration, _ = on_the_playbooks_goofys(begin, f"adopt-{kind}", kind, thin=20)
    since = started(SERVICES), synapse_started()
    preview = migration.stack.must("preview", "--diff")
    assert f"take over the mount of the bucket that serves, {PLAYBOOK_UNIT}" in preview, preview
    with Clients(migration.token, migration.media) as clients:
        time.sleep(5)
        before, began = clients.longest(), time.monotonic()
        output = migration.up("clean")
        ended = time.monotonic()
    assert (stood := STOOD.search(output)) and float(stood[1]) < STILL, output
    assert f"{len(migration.objects())}" and clients.failures == []
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

    refused = migration.stack.call("destroy", "--yes", "--skip-preview")
    assert refused.status != 0 and "out of vars.yml and run the playbook" in refused.output, refused.output
    migration.assert_serves_locally()
    run_playbook()  # without the lines
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert not on_disk(BACKUP).exists() and synapse.tree().items() >= migration.before.items()
