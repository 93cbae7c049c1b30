"""`pulumi destroy` on a store that the stack created: retained or deleted, from every phase."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import aws, b2, process, stacks, store, synapse
from sandbox.engine import Stack

from .world import Begin, Migration, journal, on_disk, wait_for

STORES: dict[str, Callable[..., Stack]] = {"aws": stacks.at_aws, "b2": stacks.at_b2}


def bucket_is_there(kind: str, name: str) -> bool:
    """As the service itself says."""
    if kind == "b2":
        return name in [bucket.name for bucket in b2.api().list_buckets()]
    return name in [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]


def fill(migration: Migration) -> synapse.Media:
    """Old versions, the marks of deleted files and an unfinished upload besides the media, and one upload."""
    s3 = store.client()
    for _ in range(2):
        s3.put_object(Bucket=migration.bucket, Key=".matrix-media-store/old", Body=b"x")
    s3.delete_object(Bucket=migration.bucket, Key=".matrix-media-store/old")
    s3.create_multipart_upload(Bucket=migration.bucket, Key="local_content/un/fi/nished")
    return migration.upload()


@pytest.mark.parametrize("kind", ["aws", pytest.param("b2", marks=pytest.mark.nightly)])
def test_a_bucket_to_be_deleted_goes_with_all_in_it_from_every_phase_once_the_media_are_home(
    begin: Begin, kind: str
) -> None:
    migration = begin(f"delete-{kind}", STORES[kind], thin=20)
    migration.stack.set("store.onDestroy", "delete")
    for phase in ("prepare", "mirror", "live", "clean"):
        migration.up(phase)
        new = fill(migration)
        output = migration.stack.must("destroy", "--yes", "--skip-preview")
        assert "are gone from the bucket" in output
        assert not bucket_is_there(kind, migration.bucket) and not store.exists(migration.bucket), phase
        migration.assert_serves_locally()
        assert synapse.tree()[new.key] == new.sha256
        assert not on_disk(Path("/usr/local/lib/matrix-media-store")).exists()


@pytest.mark.nightly
def test_a_retained_bucket_stays_with_all_in_it_from_every_phase(begin: Begin) -> None:
    migration = begin("retain", stacks.at_aws, thin=20)
    for phase in ("prepare", "mirror", "live", "clean"):
        migration.up(phase)
        new = fill(migration)
        migration.stack.must("destroy", "--yes", "--skip-preview")
        assert bucket_is_there("aws", migration.bucket), phase
        if phase != "prepare":
            assert not set(migration.before) - set(migration.objects())
        migration.assert_serves_locally()
        assert synapse.tree()[new.key] == new.sha256
        aws.forget_bucket(migration.bucket)


def test_a_retained_bucket_is_taken_back_by_a_stack_that_adopts(begin: Begin) -> None:
    """Review, entry 41."""
    migration = begin("taken-back", stacks.at_aws, thin=5)
    migration.up("live")
    new = migration.upload()
    migration.stack.must("destroy", "--yes", "--skip-preview")
    refused = migration.try_up("mirror")
    assert refused.status != 0 and "BucketAlreadyOwnedByYou" in refused.output
    migration.stack.set("store.adopt", "true")
    assert " imported" in migration.up("mirror")
    assert migration.verdict()["copied"] == 0, "what was there is equal still"
    assert new.key in migration.objects()
    assert "unchanged" in migration.up("mirror") and "imported" not in migration.up("mirror")
    migration.assert_serves_locally()


def test_what_nobody_compared_keeps_a_bucket_from_being_emptied(begin: Begin) -> None:
    migration = begin("strangers", stacks.at_aws, thin=20)
    migration.stack.set("store.onDestroy", "delete")
    migration.up("mirror")
    store.client().put_object(Bucket=migration.bucket, Key="local_content/st/ra/nger", Body=b"somebody's")
    held = migration.objects()
    result = migration.stack.call("destroy", "--yes", "--skip-preview")
    assert result.status != 0 and "local_content/st/ra/nger" in result.output
    assert "nothing was removed" in result.output and "store.onDestroy to retain" in result.output
    assert migration.objects() == held
    migration.assert_serves_locally()
    store.client().delete_object(Bucket=migration.bucket, Key="local_content/st/ra/nger")
    migration.stack.must("destroy", "--yes", "--skip-preview")
    assert not bucket_is_there("aws", migration.bucket)


def test_policy_and_key_outlive_a_restore_that_takes_long(begin: Begin) -> None:
    migration = begin("slow", stacks.at_aws, thin=100)
    migration.up("clean")
    new = migration.upload()
    minio = process.pid(store.PROCESS)
    assert minio
    with migration.stack.popen(
        "destroy", "--yes", "--skip-preview", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as destroy:
        wait_for(lambda: on_disk(Path("/matrix/synapse/storage/media-store-local-backup.incomplete")).exists())
        os.kill(minio, signal.SIGSTOP)
        try:
            for _ in range(8):
                time.sleep(1)  # the store stands still: nothing could be awaited
                assert journal()["phase"] == "clean" and destroy.poll() is None
                iam = aws.client("iam")
                (user,) = [one for one in iam.list_users()["Users"] if "matrix-bucket" in one["UserName"]]
                assert iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]
                assert iam.list_user_policies(UserName=user["UserName"])["PolicyNames"] == ["media-store"]
        finally:
            os.kill(minio, signal.SIGCONT)
        output, _ = destroy.communicate()
    assert destroy.returncode == 0, output
    migration.assert_serves_locally()
    assert synapse.tree()[new.key] == new.sha256
    assert not [one for one in aws.client("iam").list_users()["Users"] if "matrix-bucket" in one["UserName"]]
