"""Nobody notices the cutover: services stand still for a moment, and are not stopped."""

from __future__ import annotations

import time

import pytest

from sandbox import server, synapse
from sandbox.clients import Clients

from .world import Begin

#: Seconds that a client may wait longer than without a cutover.
LONGER = 1.0


def invocations() -> str:
    """What systemd makes anew whenever a unit is started."""
    return server.ssh("systemctl show --property=Id,InvocationID 'matrix-synapse*.service' 'matrix-postgres.service'")


@pytest.mark.alone
def test_nobody_who_uploads_or_looks_at_media_notices_the_cutover(begin: Begin) -> None:
    migration = begin("held", thin=0, kind="docker")
    migration.up("mirror")
    since = invocations()
    with Clients(migration.token, migration.media[:100]) as clients:
        time.sleep(10)  # what they wait without a cutover
        before, began = clients.longest(), time.monotonic()
        output = migration.up("live")
        ended = time.monotonic()
    assert "services stood still for" in output and "stopped" not in migration.verdict()
    assert clients.failures == []
    assert len(clients.waits) > 300 and len(clients.uploaded) > 100
    assert clients.longest(began, ended) < before + LONGER
    assert invocations() == since
    assert migration.verdict()["services_held_seconds"] < 0.5
    assert synapse.differing(migration.token, clients.uploaded) == []
    objects = migration.objects()
    assert [item.key for item in clients.uploaded if objects.get(item.key) != item.sha256] == []
