"""Stores that the stack creates: the whole way there and back on each kind, and what the store itself says then."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from b2sdk.v3.exception import B2Error
from botocore.exceptions import ClientError

from sandbox import aws, b2, server, stacks, store, synapse
from sandbox.engine import Stack

from .watch import CommandLines
from .world import BACKUP, STORE, Begin, Migration, hash_on_server, mounted, on_disk, subset

CUSTOMER_KEY = base64.b64encode(os.urandom(32)).decode()
KINDS: dict[str, tuple[Callable[..., Stack], dict[str, str]]] = {
    "aws": (stacks.at_aws, {}),
    "aws-customer-key": (stacks.at_aws, {"customer_key": CUSTOMER_KEY}),
    "b2": (stacks.at_b2, {}),
    "b2-command-line": (stacks.at_b2, {"method": "b2"}),
}


def access_keys(kind: str) -> list[str]:
    """Ids of the keys that reach the store, as the service lists them."""
    if kind.startswith("b2"):
        return [key.id_ for key in b2.api().list_keys()]
    iam = aws.client("iam")
    users = [user["UserName"] for user in iam.list_users()["Users"]]
    lists = [iam.list_access_keys(UserName=user)["AccessKeyMetadata"] for user in users]
    return [key["AccessKeyId"] for keys in lists for key in keys]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.nightly if "-" in kind else ()) for kind in KINDS]
)
def test_forward_to_clean_and_back_with_a_new_key_on_the_way_nothing_is_lost(begin: Begin, kind: str) -> None:
    make, options = KINDS[kind]
    migration = begin(kind, make, thin=30, **options)
    stack, before = migration.stack, access_keys(kind)
    with CommandLines() as lines:
        said = stack.must("preview", "--diff") + migration.up("mirror")
        assert subset(migration.before, migration.objects()) == []
        assert_nobody_else_gets_in(migration.media[0].key)
        if kind == "b2-command-line":
            assert "b2: uploaded" in said and "b2 sync" in lines.text
        said += migration.up("live")
        migration.assert_serves_from_bucket()
        assert subset(migration.before, hash_on_server(STORE)) == []
        new = migration.upload(70_000_000 if kind == "aws-customer-key" else 6_000_000)
        assert migration.objects()[new.key] == new.sha256
        stack.must("refresh", "--preview-only", "--expect-no-changes")  # as the nightly job asks

        (first,) = set(access_keys(kind)) - set(before)
        stack.set("store.keyGeneration", "2")
        said += stack.must("up", "--yes", "--skip-preview")
        (second,) = set(access_keys(kind)) - set(before)
        assert second != first, "the old key is gone"
        assert second in on_disk(Path("/etc/matrix-media-store/rclone.conf")).read_text()
        assert "remount: proven" in said and "remount: services stood still for" in said
        migration.assert_serves_from_bucket()

        said += migration.up("clean")
        assert not on_disk(BACKUP).exists()
        said += migration.up("prepare")
        migration.assert_serves_locally()
        assert new.key in synapse.tree()
        if kind == "aws-customer-key":
            assert_only_the_customer_key_reads(migration, new)
            assert "fuse.rclone" in server.ssh(
                "findmnt --noheadings --output FSTYPE /var/lib/matrix-media-store/staging"
            )
            units = server.ssh("cat /etc/systemd/system/matrix-media-store*")
            assert re.search(r"rclone-\w+ mount", units) and CUSTOMER_KEY not in units
        said += stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert store.exists(migration.bucket) and new.key in migration.objects(), "the bucket is retained"
    assert set(access_keys(kind)) == set(before), "but not its keys"
    secrets = [CUSTOMER_KEY, b2.KEY, aws.SECRET_ACCESS_KEY]
    for secret in secrets:
        assert secret not in lines.text and secret not in said
        assert secret not in "".join(path.read_text() for path in stack.backend.rglob("*.json"))


def assert_nobody_else_gets_in(key: str) -> None:
    """The bucket, mounted where every user of the server may pass, opens to the homeserver's user alone."""
    server.ssh("systemctl restart matrix-media-store-staging")  # what was copied past it is not in its lists yet
    path = f"/var/lib/matrix-media-store/staging/{key}"
    as_user = "cd /; (runuser -u {} -- cat {} >/dev/null && echo read) 2>&1 || true"
    assert server.ssh(as_user.format("matrix", path)).strip() == "read"
    assert server.ssh(as_user.format("nobody", path)).strip().endswith("Permission denied")


def assert_only_the_customer_key_reads(migration: Migration, new: synapse.Media) -> None:
    for key in (new.key, migration.media[0].key):
        with pytest.raises(ClientError) as caught:
            store.client().get_object(Bucket=migration.bucket, Key=key)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_customer_key_works_with_goofys_which_warns_that_it_shows_it(begin: Begin) -> None:
    migration = begin("goofys-key", stacks.at_aws, thin=40, customer_key=CUSTOMER_KEY)
    migration.stack.set("mount.program", "goofys")
    preview = migration.stack.must("preview")
    assert "takes store.sseCustomerKey on its command line" in preview and CUSTOMER_KEY not in preview
    migration.up("live")
    assert server.ssh(f"findmnt --noheadings --output FSTYPE {STORE}").strip() == "fuse"
    assert CUSTOMER_KEY not in server.ssh("cat /etc/systemd/system/matrix-media-store*")
    migration.assert_serves_from_bucket()
    assert subset(migration.before, hash_on_server(STORE)) == []
    new = migration.upload(6_000_000)
    assert migration.objects()[new.key] == new.sha256
    assert_only_the_customer_key_reads(migration, new)
    # The same bucket, mounted by the other program, in a short window.
    migration.stack.set("mount.program", "rclone")
    output = migration.stack.must("up", "--yes", "--skip-preview")
    assert "remount: proven" in output and "fuse.rclone" in server.ssh(f"findmnt --noheadings --output FSTYPE {STORE}")
    migration.assert_serves_from_bucket()
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert new.key in synapse.tree()


@pytest.mark.nightly
def test_objects_stored_without_the_customer_key_are_found_before_the_window(begin: Begin) -> None:
    migration = begin("mixed", stacks.at_aws, thin=40, customer_key=CUSTOMER_KEY)
    migration.up("prepare")
    own, other = migration.media[0].key, "local_content/zz/zz/not-in-the-local-store"
    body = on_disk(STORE / own).read_bytes()
    for key in (own, other):
        store.client().put_object(Bucket=migration.bucket, Key=key, Body=body)
    since = server.ssh("systemctl show --property=ActiveEnterTimestampMonotonic matrix-synapse")
    result = migration.try_up("live")
    assert result.status != 0 and other in result.output
    assert "stored with another key, or with none" in result.output and "remove them from the bucket" in result.output
    assert server.ssh("systemctl show --property=ActiveEnterTimestampMonotonic matrix-synapse") == since
    assert not mounted(STORE)
    store.client().delete_object(Bucket=migration.bucket, Key=other)
    assert "stored with another key or none: copying anew" in migration.up("live")
    migration.assert_serves_from_bucket()
    another = base64.b64encode(os.urandom(32)).decode()
    migration.stack.set_secret("store.sseCustomerKey", another)
    result = migration.try_up("live")
    assert result.status != 0 and "store.sseCustomerKey changed in phase live" in result.output
    migration.assert_serves_from_bucket()
    migration.stack.set_secret("store.sseCustomerKey", CUSTOMER_KEY)
    migration.up("prepare")
    migration.stack.set_secret("store.sseCustomerKey", another)
    assert "stored with another key or none: copying anew" in migration.up("mirror")
    migration.customer_key = another
    assert subset(migration.before, migration.objects()) == []


def test_the_bucket_at_b2_is_what_the_manual_procedure_asks_for_and_its_key_sees_no_other(begin: Begin) -> None:
    other = "test-b2-other-bucket"
    b2.up()
    b2.forget_bucket(other)
    b2.api().create_bucket(other, "allPrivate")
    store.client().put_object(Bucket=other, Key="a", Body=b"x")
    migration = begin("b2-bucket", stacks.at_b2, thin=5)
    migration.up("prepare")
    found = b2.api().get_bucket_by_name(migration.bucket).as_dict()
    assert found["bucketType"] == "allPrivate"
    assert found["lifecycleRules"] == [
        {
            "fileNamePrefix": "",
            "daysFromUploadingToHiding": None,
            "daysFromHidingToDeleting": 1,
            "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
        }
    ]
    conf = on_disk(Path("/etc/matrix-media-store/rclone.conf")).read_text()
    key_id, key = (line.split(" = ")[1] for line in conf.splitlines() if line.startswith(("access_key", "secret_acc")))
    restricted = b2.api(key_id, key)
    for forbidden in (
        lambda: restricted.get_bucket_by_name(other),
        lambda: restricted.list_buckets(),
        lambda: list(restricted.list_keys()),
        lambda: restricted.create_bucket("test-b2-third-bucket", "allPrivate"),
        lambda: restricted.delete_bucket(restricted.get_bucket_by_name(migration.bucket)),
    ):
        with pytest.raises(B2Error):
            forbidden()
    s3 = store.client_of(key_id, key)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] in ([], [migration.bucket])
    with pytest.raises(ClientError):
        s3.list_objects_v2(Bucket=other)


def test_the_bucket_at_aws_is_private_tidy_and_takes_nothing_without_tls(begin: Begin) -> None:
    migration = begin("aws-bucket", stacks.at_aws, thin=5)
    migration.up("prepare")
    s3, name = aws.client("s3"), {"Bucket": migration.bucket}
    block = s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True
    )
    controls = s3.get_bucket_ownership_controls(**name)["OwnershipControls"]["Rules"]
    assert controls == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
    (statement,) = json.loads(s3.get_bucket_policy(**name)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (rule,) = s3.get_bucket_lifecycle_configuration(**name)["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    (encryption,) = s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
