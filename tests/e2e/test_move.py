"""The media move from one store to another, of any two kinds, beneath clients at work who notice nothing."""

from __future__ import annotations

import base64
import os
import re
import time
from dataclasses import dataclass
from subprocess import PIPE, STDOUT

import pytest

from sandbox import aws, b2, stacks, store
from sandbox.clients import Clients
from sandbox.demo import bucket_contents, started
from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import STORE, Begin, Migration, hash_on_server, subset, synapse_started

SERVICES = "'matrix-synapse*.service'"
STOOD = re.compile(r"services stood still for ([0-9.]+) s")
#: As in test_held: seconds that a client may wait longer than without, and for which services may stand still.
LONGER, STILL = 2.0, 1.0
#: Uploads of each move that are downloaded again after each later one.
DOWNLOADED = 10


@dataclass(frozen=True)
class Place:
    """A store of the stack: its name there, its bucket, and the key that encrypts what is in it."""

    name: str
    bucket: str
    customer_key: str = ""

    def objects(self) -> dict[str, str]:
        return bucket_contents(self.bucket, self.customer_key)


def add_existing(stack: Stack, name: str, bucket: str) -> Place:
    store.empty_bucket(bucket)
    for key, value in (("kind", "existing"), ("endpoint", store.ENDPOINT), ("region", store.REGION)):
        stack.set(f"stores.{name}.{key}", value)
    stack.set(f"stores.{name}.bucket", bucket)
    stack.set_secret(f"stores.{name}.accessKeyId", store.ACCESS_KEY_ID)
    stack.set_secret(f"stores.{name}.secretAccessKey", store.SECRET_ACCESS_KEY)
    return Place(name, bucket)


def add_aws(stack: Stack, name: str, bucket: str, customer_key: str = "") -> Place:
    aws.forget_bucket(bucket)
    for key, value in (("kind", "aws"), ("bucket", bucket), ("endpoint", store.ENDPOINT)):
        stack.set(f"stores.{name}.{key}", value)
    if customer_key:
        stack.set_secret(f"stores.{name}.sseCustomerKey", customer_key)
    return Place(name, bucket, customer_key)


def add_b2(stack: Stack, name: str, bucket: str) -> Place:
    b2.up()
    b2.forget_keys()
    b2.forget_bucket(bucket)
    for key, value in (("kind", "b2"), ("bucket", bucket)):
        stack.set(f"stores.{name}.{key}", value)
    stack.must("config", "set", "b2:endpoint", b2.ENDPOINT)
    stack.must("config", "set", "b2:applicationKeyId", b2.KEY_ID)
    stack.set_secret("b2:applicationKey", b2.KEY)
    return Place(name, bucket)


def move(migration: Migration, to: Place) -> str:
    """Move there beneath clients at work, and see that nobody noticed and all is there; return what was printed."""
    since = started(SERVICES), synapse_started()
    migration.stack.set("serve", to.name or "store")
    with Clients(migration.token, migration.media) as clients:
        time.sleep(5)
        before, began, output = clients.longest(), float("inf"), ""
        with migration.stack.popen("up", "--yes", "--skip-preview", stdout=PIPE, stderr=STDOUT) as up:
            assert up.stdout
            for line in up.stdout:
                output += line
                if (
                    "in both buckets and equal" in line
                ):  # here the store itself is on this machine, and copying it is busy
                    began = min(began, time.monotonic())
        ended = time.monotonic()
        assert up.returncode == 0, output
    assert clients.failures == [], output
    assert (stood := STOOD.search(output)) and float(stood[1]) < STILL, output
    slow = sorted(clients.waits, key=lambda wait: -wait.seconds)[:9]
    longest = [(wait.what, round(wait.began - began, 2), round(wait.seconds, 2)) for wait in slow]
    assert clients.longest(began, ended) < before + LONGER, f"{longest} {output}"
    assert (started(SERVICES), synapse_started()) == since, "nothing was restarted"
    # All of them are compared in the bucket, and a few downloaded too.
    migration.media += clients.uploaded[:DOWNLOADED]
    migration.before.update({item.key: item.sha256 for item in clients.uploaded})
    assert subset(migration.before, to.objects()) == []
    migration.assert_serves()
    return output


def test_media_move_by_the_stores_own_copy_and_to_another_kind_and_nobody_notices(begin: Begin) -> None:
    migration = begin("move", kind="docker", thin=20)
    stack, first = migration.stack, Place("", migration.bucket)
    migration.up("live")
    second = add_existing(stack, "second", "test-move-second")
    third = add_b2(stack, "third", "test-move-third")
    preview = stack.must("preview", "--diff")
    assert "move" not in preview.partition("Diagnostics")[2], "a store more is no move"
    stack.set("serve", "second")
    assert f"the media move from bucket {first.bucket}" in stack.must("preview", "--diff")

    purged = migration.media[0]
    output = move(migration, second)
    assert "objects are copied by the store itself" in output
    migration.purge(purged)
    late = migration.upload()
    output = move(migration, third)
    assert "objects are copied through this server" in output
    assert purged.key not in third.objects() and late.key in third.objects()
    page = max((ROOT / "reports" / stack.name).glob("*.html"), key=lambda path: path.stat().st_mtime).read_text()
    assert f"to {third.bucket}" in page and migration.verdict()["services_held_seconds"] < STILL
    unchanged = stack.must("up", "--yes", "--skip-preview")
    assert "unchanged" in unchanged and "updated" not in unchanged, unchanged
    assert "not as it was laid" not in stack.must("preview", "--diff")

    move(migration, first)
    assert purged.key not in first.objects(), "what was purged meanwhile does not come back with the way back"
    let_go(migration, kept=second, deleted=third)
    migration.assert_serves_from_bucket()
    migration.up("prepare")
    migration.assert_serves_locally()
    stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()


def let_go(migration: Migration, kept: Place, deleted: Place) -> None:
    """Two stores that the media left are taken out of the stack, of which one is to be deleted with what is in it."""
    stack = migration.stack
    stack.set(f"stores.{deleted.name}.onDestroy", "delete")
    stack.must("up", "--yes", "--skip-preview")
    for each in (kept, deleted):
        stack.must("config", "rm", "--path", f"stores.{each.name}")
    output = stack.must("up", "--yes", "--skip-preview")
    assert f"bucket {migration.bucket} is the one in use" in output
    assert deleted.bucket not in [bucket.name for bucket in b2.api().list_buckets()]
    assert kept.objects(), "with all that is in it"
    listed = store.client().list_objects_v2(Bucket=kept.bucket, Prefix=".matrix-media-store/")
    assert [item["Key"] for item in listed.get("Contents", [])] == [], "it names no owner any more"


#: Every pair of the four kinds, from each to each other, as one way.
TOUR = ("aws", "existing", "aws", "sse", "aws", "b2", "existing", "sse", "existing", "b2", "sse", "b2", "aws")


@pytest.mark.nightly
def test_media_move_between_any_two_kinds_of_store(begin: Begin) -> None:
    migration = begin("tour", stacks.at_aws, kind="docker", thin=10)
    stack, key = migration.stack, base64.b64encode(os.urandom(32)).decode()
    places = {
        "aws": Place("", migration.bucket),
        "existing": add_existing(stack, "existing", "test-tour-existing"),
        "sse": add_aws(stack, "sse", "test-tour-sse", key),
        "b2": add_b2(stack, "b2", "test-tour-b2"),
    }
    stack.set("serve", "store")
    assert len({*zip(TOUR, TOUR[1:], strict=False)}) == 12
    migration.up("live")
    for to in TOUR[1:]:
        move(migration, places[to])
        migration.purge(migration.media[-1])
    tree = hash_on_server(STORE)
    assert [item.key for item in migration.media if tree.get(item.key) != item.sha256] == []
    migration.up("prepare")
    migration.assert_serves_locally()
