"""The key that the server gets: it does the work, nothing else, and none of its rights is superfluous."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import aws, server, stacks, store

from .world import Migration, on_disk, wait_for

STAGING = "/var/lib/matrix-media-store/staging"
#: As the agent calls it, without its patience.
RCLONE = (
    "/opt/rclone/rclone --config /etc/matrix-media-store/rclone.conf --no-traverse --no-check-dest --s3-no-head"
    " --retries 1 --low-level-retries 1"
)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Migration]:
    from . import world

    migration = world.begin("rights", stacks.at_aws, thin=5)
    migration.up("prepare")
    yield migration
    migration.stack.remove()


def user() -> str:
    users = aws.client("iam").list_users()["Users"]
    return next(str(one["UserName"]) for one in users if "matrix-bucket" in one["UserName"])


def own_client() -> tuple[Any, dict[str, str]]:
    """With the key that the server has, and no other."""
    conf = on_disk(Path("/etc/matrix-media-store/rclone.conf")).read_text()
    values = dict(line.split(" = ", 1) for line in conf.splitlines() if " = " in line)
    return store.client_of(values["access_key_id"], values["secret_access_key"]), values


def works(command: str) -> bool:
    return server.ssh(f"({command}) >/dev/null 2>&1 && echo works || true").strip() == "works"


def unfinished(bucket: str) -> list[str]:
    return [one["Key"] for one in store.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def failing_steps(bucket: str) -> set[str]:
    """What does not work with the rights as they are now, on the server, with the programs that do it there."""
    for key in ("there", "goes"):
        store.client().put_object(Bucket=bucket, Key=f"local_content/aa/bb/{key}", Body=b"there")
    as_matrix = "cd /; runuser -u matrix --"
    steps = {
        "mount": "timeout 20 systemctl restart matrix-media-store-staging",
        "read": f"{as_matrix} cat {STAGING}/local_content/aa/bb/there",
        "write": f"{as_matrix} sh -c 'echo new > {STAGING}/new'",
        "remove": f"{as_matrix} rm {STAGING}/local_content/aa/bb/goes",
        "mirror": f"echo new > /tmp/mirrored; {RCLONE} copyto /tmp/mirrored store:{bucket}/mirrored",
        "restore": f"{RCLONE} copyto store:{bucket}/local_content/aa/bb/there /tmp/restored",
    }
    failed = {name for name, command in steps.items() if not works(command)}
    for key in ("new", "mirrored"):
        store.client().delete_object(Bucket=bucket, Key=key)
    return failed | ({"tidy up"} if leaves_a_part(bucket) else set())


def leaves_a_part(bucket: str) -> bool:
    """Whether an interrupted upload of a large file stays in the bucket, and costs money there."""
    server.ssh("truncate -s 200M /tmp/large")
    server.ssh(
        f"{RCLONE} --bwlimit 40M copyto /tmp/large store:{bucket}/large >/dev/null 2>&1 & echo $! > /tmp/large.pid"
    )
    wait_for(lambda: unfinished(bucket) or not works("kill -0 $(cat /tmp/large.pid)"), seconds=30, every=0.05)
    server.ssh(
        "kill -INT $(cat /tmp/large.pid) 2>/dev/null;"
        " while kill -0 $(cat /tmp/large.pid) 2>/dev/null; do sleep 0.1; done"
    )
    left = unfinished(bucket)
    for upload in store.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        store.client().abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return bool(left)


#: What fails without each right, since S3 wants it for the requests of that step. PutObjectAcl has a test of its
#: own.
NEEDED = {
    "s3:ListBucket": {"mount", "read", "write", "remove"},
    "s3:GetObject": {"mount", "read", "write", "remove", "restore"},  # goofys asks for a name when it mounts
    "s3:PutObject": {"write", "mirror"},
    "s3:DeleteObject": {"remove"},
    "s3:AbortMultipartUpload": {"tidy up"},
}


def test_with_all_its_rights_every_step_works_and_without_any_one_of_them_a_step_fails(prepared: Migration) -> None:
    iam, name = aws.client("iam"), user()
    whole = iam.get_user_policy(UserName=name, PolicyName="media-store")["PolicyDocument"]
    granted = {action for statement in whole["Statement"] for action in statement["Action"]}
    assert granted == {*NEEDED, "s3:PutObjectAcl"}
    assert failing_steps(prepared.bucket) == set()
    for right, failing in NEEDED.items():
        statements = [
            {**one, "Action": [action for action in one["Action"] if action != right]} for one in whole["Statement"]
        ]
        less = {**whole, "Statement": [one for one in statements if one["Action"]]}
        iam.put_user_policy(UserName=name, PolicyName="media-store", PolicyDocument=json.dumps(less))
        found = failing_steps(prepared.bucket)
        iam.put_user_policy(UserName=name, PolicyName="media-store", PolicyDocument=json.dumps(whole))
        assert found == failing, right


def test_what_copies_names_no_acl_which_some_stores_refuse(prepared: Migration) -> None:
    """Review, entry 22. The right to name one stays for mounts of earlier versions, until they are mounted anew."""
    said = server.ssh(f"echo x > /tmp/x; {RCLONE} -vv --dump headers copyto /tmp/x store:{prepared.bucket}/x 2>&1")
    assert "PUT /" in said and "x-amz-acl" not in said.lower()


def test_everything_else_is_denied(prepared: Migration) -> None:
    s3, values = own_client()
    other = "test-rights-of-others"
    store.empty_bucket(other)
    store.client().put_object(Bucket=other, Key="a", Body=b"x")
    iam = aws.client("iam", values["access_key_id"], values["secret_access_key"])
    control = aws.client("s3", values["access_key_id"], values["secret_access_key"])
    denied = {
        "another bucket's list": lambda: s3.list_objects_v2(Bucket=other),
        "another bucket's object": lambda: s3.get_object(Bucket=other, Key="a"),
        "writing to another bucket": lambda: s3.put_object(Bucket=other, Key="b", Body=b"x"),
        "deleting the bucket": lambda: s3.delete_bucket(Bucket=prepared.bucket),
        "deleting it at AWS": lambda: control.delete_bucket(Bucket=prepared.bucket),
        "the bucket's policy": lambda: s3.put_bucket_policy(Bucket=prepared.bucket, Policy="{}"),
        "the bucket's versioning": lambda: s3.put_bucket_versioning(
            Bucket=prepared.bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        "a new bucket": lambda: s3.create_bucket(Bucket="test-rights-new"),
        "its own policy": lambda: iam.put_user_policy(UserName=user(), PolicyName="more", PolicyDocument="{}"),
        "the account's users": iam.list_users,
        "the account's buckets": control.list_buckets,
    }
    for what, call in denied.items():
        try:
            call()
            found = "allowed"
        except ClientError as error:
            found = error.response["Error"]["Code"]
        assert found == "AccessDenied", what
    # The objects' side answers such a key with the buckets it may see.
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [prepared.bucket]
