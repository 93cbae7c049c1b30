"""Media come from synapse-s3-storage-provider and go back to it: the published module and its nightly job, at work."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import aws, server, stacks, store, synapse
from sandbox.clients import Clients
from sandbox.demo import started
from sandbox.server import provider

from .test_handover import lines_for_the_playbook
from .test_move import SERVICES
from .world import STORE, Begin, Migration, hash_on_server, operate, run_playbook, subset, synapse_started, wait_for


def lines(bucket: str) -> dict[str, Any]:
    """vars.yml of somebody who has the provider."""
    said = {
        "bucket": bucket, "region_name": store.REGION, "endpoint_url": store.ENDPOINT, "storage_class": "STANDARD",
        "access_key_id": store.ACCESS_KEY_ID, "secret_access_key": store.SECRET_ACCESS_KEY,
    }  # fmt: skip
    return {f"{provider.PREFIX}enabled": True, **{f"{provider.PREFIX}config_{name}": said[name] for name in said}}


def by_playbook(told: dict[str, Any]) -> None:
    run_playbook(told)
    wait_for(server.answers, seconds=120, every=0.5)


def night() -> None:
    """The job's time comes; it has ended then."""
    server.ssh(f"systemctl start {provider.JOB}.service")


def ran() -> str:
    return server.ssh(f"systemctl show --value --property=ExecMainStartTimestamp {provider.JOB}.service").strip()


def on_disk_of(migration: Migration) -> list[str]:
    """Uploads that are in the local store."""
    here = synapse.tree()
    return [item.id for item in migration.media if item.key in here]


def test_the_stack_takes_over_the_providers_bucket_beneath_clients_who_notice_nothing(begin: Begin) -> None:
    migration = begin("provider-from", kind="docker", thin=20)
    by_playbook(lines(migration.bucket))
    night()
    assert on_disk_of(migration) == [] and migration.media[0].key in migration.objects()
    assert migration.differing() == [], "the provider serves what its bucket alone has"
    night()
    refused = migration.try_up("live")
    assert refused.status != 0 and "set host.storageProvider to from" in refused.output, refused.output

    migration.stack.set("host.storageProvider", "from")
    migration.up("mirror")
    since = started(SERVICES), synapse_started()
    server.ssh(f"systemctl start {provider.JOB}.service", check=False)
    assert ran() == "", "it is kept off from then on"
    assert on_disk_of(migration) == []
    with Clients(migration.token, migration.media) as clients:
        said = migration.up("live")
        migration.media += clients.uploaded[:5]
    assert clients.failures == [] and "files are in the bucket alone" in said, said
    assert (started(SERVICES), synapse_started()) == since, "nothing was restarted"
    new = migration.upload()
    assert migration.objects()[new.key] == new.sha256
    server.ssh(f"systemctl start {provider.JOB}.service", check=False)
    assert ran() == ""
    migration.assert_serves_from_bucket()

    by_playbook({})
    migration.up("clean")
    migration.purge(migration.media[0])
    assert subset(migration.before, hash_on_server(STORE)) == []
    migration.assert_serves_from_bucket()
    migration.up("prepare")
    migration.assert_serves_locally()


@pytest.mark.nightly
def test_the_provider_takes_over_the_stacks_bucket_with_a_key_of_its_own_that_stays(begin: Begin) -> None:
    migration = begin("provider-to", stacks.at_aws, kind="docker", thin=20)
    stack = migration.stack
    stack.set("host.storageProvider", "to")
    migration.up("live")
    refused = operate(migration, "playbook-vars")
    assert refused.returncode != 0 and "pulumi config set phase mirror" in refused.stderr, refused.stderr
    migration.up("mirror")
    told = lines_for_the_playbook(migration)
    assert told[f"{provider.PREFIX}config_bucket"] == migration.bucket
    by_playbook(told)
    late = migration.upload()
    assert migration.objects()[late.key] == late.sha256, "the provider writes with its key"
    migration.up("mirror")
    stack.must("destroy", "--yes", "--skip-preview")
    users = [user["UserName"] for user in aws.client("iam").list_users()["Users"]]
    assert len(users) == 1 and "provider" in users[0], users

    night()
    assert on_disk_of(migration) == []
    assert migration.differing() == []
    assert subset(migration.before, migration.objects()) == []
