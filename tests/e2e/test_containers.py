"""A server as the playbook makes it: Synapse, its worker, PostgreSQL, a proxy and goofys in containers of Docker's."""

from __future__ import annotations

import pytest

from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from sandbox import server, synapse
from sandbox.clients import Clients

from .test_handover import lines_for_the_playbook, served, state
from .world import BACKUP, Begin, on_disk, run_playbook, synapse_started, wait_for

WORKER, GENERIC = "matrix-synapse-worker-media-repository-0", "matrix-synapse-worker-generic-0"
CONTAINERS = {"matrix-synapse", WORKER, "matrix-postgres", "matrix-valkey", "matrix-synapse-reverse-proxy-companion"}
#: What else runs on a kind of server.
MORE = {"docker": set[str](), "bullseye": {GENERIC}, "trixie": {GENERIC}}
HELD = {
    "docker": f"{WORKER}.service, matrix-synapse.service",
    "bullseye": f"{GENERIC}.service, {WORKER}.service, matrix-synapse.service",
    "trixie": f"{GENERIC}.service, {WORKER}.service, matrix-synapse.service",
}


def containers() -> set[str]:
    return set(server.ssh("docker ps --format '{{.Names}}'").split())


def started(name: str) -> str:
    return server.ssh(f"docker inspect --format '{{{{.State.StartedAt}}}}' {name}")


@pytest.mark.parametrize(
    "kind", ["docker", *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("bullseye", "trixie"))]
)
def test_forward_to_clean_home_and_away_with_docker_workers_and_postgresql(begin: Begin, kind: str) -> None:
    migration = begin(f"containers-{kind}", kind=kind, thin=20)
    assert containers() == CONTAINERS | MORE[kind]
    migration.up("mirror")
    purged = migration.media[0]
    migration.purge(purged)  # by PostgreSQL's word, in its container
    since = {name: started(name) for name in CONTAINERS | MORE[kind]}
    preview = migration.stack.must("preview", "--diff")
    output = migration.up("live")
    assert f"cutover: holding {HELD[kind]}" in output, preview
    assert {name: started(name) for name in since} == since, "nothing was restarted"
    migration.assert_serves_from_bucket()
    assert purged.key not in migration.objects()
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256

    server.ssh(f"docker kill {WORKER}")  # its unit starts it again
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    server.ssh("systemctl kill --signal=SIGKILL --kill-who=main docker")
    wait_for(lambda: served(migration), seconds=120, every=0.5)
    assert containers() == CONTAINERS | MORE[kind]
    migration.assert_serves_from_bucket()
    run_playbook(version="2")  # an image update
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    assert "localhost/matrix:2" in server.ssh(
        "docker ps --format '{{.Image}} {{.Names}}' --filter name=^matrix-synapse$"
    )

    migration.up("clean")
    assert not on_disk(BACKUP).exists()
    server.kill()
    server.up(wait=False)
    wait_for(lambda: served(migration), seconds=120, every=0.5)
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert new.key in synapse.tree()


def test_the_playbooks_goofys_container_takes_over_and_gives_back_beneath_a_running_synapse(begin: Begin) -> None:
    migration = begin("goofys-container", kind="docker", thin=20)
    migration.up("live")
    migration.stack.set("mount.managedBy", "playbook")
    migration.up("live")
    since = synapse_started()
    run_playbook(lines_for_the_playbook(migration), services="start")
    wait_for(lambda: state(PLAYBOOK_UNIT) == "active" and served(migration), seconds=90, every=0.5)
    assert (state(MOUNT_UNIT), PLAYBOOK_UNIT in containers()) == ("inactive", True)
    assert synapse_started() == since, "what goofys mounts in its container came into the running one of Synapse"
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256
    server.ssh(f"docker kill {PLAYBOOK_UNIT}")
    wait_for(lambda: state(PLAYBOOK_UNIT) == "active" and served(migration), seconds=90, every=0.5)
    migration.assert_serves_from_bucket()

    migration.stack.set("mount.managedBy", "stack")
    since = started("matrix-synapse")
    with Clients(migration.token, migration.media) as clients:
        output = migration.up("live")
    assert "services stood still for" in output and started("matrix-synapse") == since, output
    assert clients.failures == [], "the stack takes the mount back, and nobody notices"
    migration.media += clients.uploaded
    migration.assert_serves_from_bucket()
    run_playbook()  # without the lines
    wait_for(lambda: served(migration), seconds=90, every=0.5)
    migration.up("prepare")
    migration.assert_serves_locally()
