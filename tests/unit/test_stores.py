"""What a created store is made of: every property and option, written down here by hand."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from google.protobuf import json_format

from components import settings as stack_settings
from components.store import Store, make_store

from .recording import Request, is_secret, record
from .test_settings import GOOD

#: Registrations by type and name, the store's values once known, and the store.
Built = tuple[dict[str, Request], list[Any], Store]
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
AWS = {"kind": "aws", "bucket": "media", "region": "eu-central-1"}
B2 = {"kind": "b2", "bucket": "media-bucket"}
ARN = "arn:aws:s3:::media"
TLS_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [ARN, f"{ARN}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}  # fmt: skip


def rights(*, bucket: list[str], objects: list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Bucket", "Effect": "Allow", "Action": bucket, "Resource": ARN},
            {"Sid": "Media", "Effect": "Allow", "Action": objects, "Resource": f"{ARN}/*"},
            {
                "Sid": "Acl", "Effect": "Allow", "Action": ["s3:PutObjectAcl"], "Resource": f"{ARN}/*",
                "Condition": {"StringEquals": {"s3:x-amz-acl": "private"}},
            },
        ],
    }  # fmt: skip


LEAST = rights(
    bucket=["s3:ListBucket"],
    objects=["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
)
TO_EMPTY = rights(
    bucket=["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
    objects=["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:DeleteObjectVersion"],
)


def build(values: dict[str, Any]) -> Built:
    """The store's registrations by type and name, and the store's values once known."""
    stores: list[Store] = []

    def program() -> pulumi.Output[list[Any]]:
        settings = stack_settings.parse({**GOOD, "store": values})
        store = make_store("matrix-bucket", settings.store)
        stores.append(store)
        outputs = [store.endpoint, store.region, store.bucket, store.access_key_id, store.secret_access_key]
        return pulumi.Output.all(*outputs, pulumi.Output.from_input(store.access_key_id).is_secret(),
                                 pulumi.Output.from_input(store.secret_access_key).is_secret(),
                                 pulumi.Output.from_input(store.endpoint).is_secret())  # fmt: skip

    requests, known = record(program)
    return requests, known, stores[0]


def properties(request: Request) -> dict[str, Any]:
    """What the program gave, with JSON documents read."""
    found = json_format.MessageToDict(request.object)
    return {name: json.loads(value) if name == "policy" else value for name, value in found.items()}


@pytest.fixture(scope="module")
def at_aws() -> Built:
    return build(AWS)


@pytest.fixture(scope="module")
def at_b2() -> Built:
    return build(B2)


AWS_RESOURCES = {
    "matrix-bucket": ("aws:s3/bucket:Bucket", {"bucket": "media", "tags": {}}),
    "matrix-bucket-public-access": (
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        {
            "bucket": "media-id", "blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True,
            "restrictPublicBuckets": True,
        },
    ),
    "matrix-bucket-ownership": (
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        {"bucket": "media-id", "rule": {"objectOwnership": "BucketOwnerEnforced"}},
    ),
    "matrix-bucket-policy": ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "media-id", "policy": TLS_ONLY}),
    "matrix-bucket-encryption": (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        {
            "bucket": "media-id",
            "rules": [
                {
                    "applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"},
                    "blockedEncryptionTypes": ["SSE-C"],
                }
            ],
        },
    ),
    "matrix-bucket-versioning": (
        "aws:s3/bucketVersioning:BucketVersioning",
        {"bucket": "media-id", "versioningConfiguration": {"status": "Enabled"}},
    ),
    "matrix-bucket-lifecycle": (
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        {
            "bucket": "media-id",
            "rules": [
                {
                    "id": "old-versions", "status": "Enabled", "filter": {"prefix": ""},
                    "noncurrentVersionExpiration": {"noncurrentDays": 1},
                    "expiration": {"expiredObjectDeleteMarker": True},
                    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
                }
            ],
        },
    ),
    "matrix-bucket-user": ("aws:iam/user:User", {"path": "/matrix-media-store/", "tags": {}}),
    "matrix-bucket-user-policy": (
        "aws:iam/userPolicy:UserPolicy",
        {"name": "media-store", "user": "matrix-bucket-user", "policy": LEAST},
    ),
    "matrix-bucket-key-1": ("aws:iam/accessKey:AccessKey", {"user": "matrix-bucket-user"}),
}  # fmt: skip
CREDENTIALS = {"matrix-bucket-user", "matrix-bucket-user-policy", "matrix-bucket-key-1"}


def children(requests: dict[str, Request]) -> dict[str, Request]:
    """The component's own resources by name, without the component."""
    return {r.name: r for r in requests.values() if not r.type.startswith(("matrix-media-store:", "pulumi:"))}


def test_the_bucket_at_aws_has_these_properties_and_no_others(at_aws: Built) -> None:
    requests, _, _ = at_aws
    found = {name: (request.type, properties(request)) for name, request in children(requests).items()}
    assert found == AWS_RESOURCES


def test_what_is_at_aws_is_kept_on_destroy_but_for_the_credentials(at_aws: Built) -> None:
    requests, _, _ = at_aws
    for name, request in children(requests).items():
        assert request.retainOnDelete == (name not in CREDENTIALS), name
        assert not request.protect and not request.deleteBeforeReplace and not request.ignoreChanges, name
        assert request.parent.endswith("matrix-media-store:store:AwsBucket::matrix-bucket"), name


def test_with_on_destroy_delete_nothing_at_aws_is_kept_and_the_user_may_empty_the_bucket() -> None:
    requests, _, store = build({**AWS, "onDestroy": "delete"})
    assert store.empty_on_destroy
    assert not any(request.retainOnDelete for request in children(requests).values())
    assert properties(children(requests)["matrix-bucket-user-policy"])["policy"] == TO_EMPTY
    assert "forceDestroy" not in properties(children(requests)["matrix-bucket"]), "the agent compares, then empties"


@pytest.mark.parametrize("values", [AWS, B2], ids=["aws", "b2"])
def test_a_bucket_that_is_protected_is_so_by_the_engine_and_nothing_else_is(values: dict[str, Any]) -> None:
    """Review, entry 63."""
    made = children(build({**values, "protect": True})[0])
    assert [name for name, request in made.items() if request.protect] == ["matrix-bucket"]


@pytest.mark.parametrize(("logs", "prefix"), [("our-logs/matrix/", "matrix/"), ("our-logs", "")])
def test_access_logs_go_to_another_bucket_where_the_stack_names_one(logs: str, prefix: str) -> None:
    made = children(build({**AWS, "accessLogs": logs})[0])["matrix-bucket-logging"]
    assert properties(made) == {"bucket": "media-id", "targetBucket": "our-logs", "targetPrefix": prefix}


def test_changes_of_the_buckets_access_wait_for_each_other(at_aws: Built) -> None:
    requests, _, _ = at_aws

    def after(name: str) -> set[str]:
        return {urn.rpartition("::")[2] for urn in children(requests)[name].dependencies}

    assert "matrix-bucket-public-access" in after("matrix-bucket-ownership")
    assert {"matrix-bucket-public-access", "matrix-bucket-ownership"} <= after("matrix-bucket-policy")
    assert "matrix-bucket-versioning" in after("matrix-bucket-lifecycle"), "it speaks of noncurrent versions"


def test_a_customer_key_is_allowed_in_the_bucket_and_reaches_the_server() -> None:
    requests, _, store = build({**AWS, "sseCustomerKey": KEY})
    rules = properties(children(requests)["matrix-bucket-encryption"])["rules"]
    assert rules[0]["blockedEncryptionTypes"] == ["NONE"]
    assert KEY not in repr(store)
    assert KEY not in str([properties(request) for request in children(requests).values()])


def test_a_new_key_generation_is_another_key_of_the_same_user() -> None:
    requests, _, store = build({**AWS, "keyGeneration": 2})
    made = children(requests)
    assert "matrix-bucket-key-2" in made and "matrix-bucket-key-1" not in made
    assert {resource._name for resource in store.ready} == {*made} - {"matrix-bucket-lifecycle"}
    requests, _, _ = build({**B2, "keyGeneration": 2})
    assert "matrix-bucket-key-2" in children(requests) and "matrix-bucket-key-1" not in children(requests)


@pytest.mark.parametrize("values", [AWS, B2])
def test_every_resource_of_a_store_must_be_there_while_the_server_uses_it(values: dict[str, Any]) -> None:
    """But for the lifecycle rules, for which the provider waits a minute and no server need (review, entry 43)."""
    requests, _, store = build(values)
    assert {resource._name for resource in store.ready} == {*children(requests)} - {"matrix-bucket-lifecycle"}


@pytest.mark.parametrize(("adopt", "imported"), [(True, "media-of-example"), (False, "")])
def test_a_bucket_that_an_earlier_stack_left_is_taken_back_where_the_stack_adopts(adopt: bool, imported: str) -> None:
    """Review, entry 41: to create it again ended in 409."""
    requests, _, _ = build({**AWS, "adopt": adopt})
    assert children(requests)["matrix-bucket"].importId == (AWS["bucket"] if imported else "")


def test_the_server_gets_address_and_key_of_the_bucket_at_aws(at_aws: Built) -> None:
    _, known, store = at_aws
    endpoint, region, bucket, key_id, secret, *marks = known
    assert (endpoint, region, bucket) == ("https://s3.eu-central-1.amazonaws.com", "eu-central-1", "media")
    assert (key_id, secret) == ("matrix-bucket-key-1-id", "SECRET-made")
    assert marks == [True, True, False], "the key is a secret, the address is none"
    assert "SECRET" not in repr(store) and store.storage_class == "STANDARD"


def test_chinas_regions_have_a_domain_of_their_own() -> None:
    _, known, _ = build({**AWS, "region": "cn-north-1"})
    assert known[0] == "https://s3.cn-north-1.amazonaws.com.cn"


def test_the_access_key_is_a_secret_in_the_state(at_aws: Built, at_b2: Built) -> None:
    assert "secret" in children(at_aws[0])["matrix-bucket-key-1"].additionalSecretOutputs
    assert "applicationKey" in children(at_b2[0])["matrix-bucket-key-1"].additionalSecretOutputs


def test_the_bucket_at_b2_has_these_properties_and_no_others(at_b2: Built) -> None:
    requests, _, _ = at_b2
    found = {name: (request.type, properties(request)) for name, request in children(requests).items()}
    assert found == {
        "matrix-bucket": (
            "b2:index/bucket:Bucket",
            {
                "bucketName": "media-bucket",
                "bucketType": "allPrivate",
                "lifecycleRules": [
                    {
                        "fileNamePrefix": "",
                        "daysFromHidingToDeleting": 1,
                        "daysFromStartingToCancelingUnfinishedLargeFiles": 1,
                    }
                ],
            },
        ),
        "matrix-bucket-key-1": (
            "b2:index/applicationKey:ApplicationKey",
            {
                "keyName": "matrix-media-store-media-bucket",
                "capabilities": ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"],
                "bucketIds": ["b2-bucket-id"],
            },
        ),
    }


def test_what_is_at_b2_is_kept_on_destroy_but_for_the_key(at_b2: Built) -> None:
    for on_destroy, (requests, _, store) in (("retain", at_b2), ("delete", build({**B2, "onDestroy": "delete"}))):
        made = children(requests)
        assert made["matrix-bucket"].retainOnDelete == (on_destroy == "retain")
        assert store.empty_on_destroy == (on_destroy == "delete")
        assert not made["matrix-bucket-key-1"].retainOnDelete
        for request in made.values():
            assert not request.protect and not request.deleteBeforeReplace
            assert request.parent.endswith("matrix-media-store:store:B2Bucket::matrix-bucket")


def test_address_and_region_of_b2_come_from_the_account(at_b2: Built) -> None:
    _, known, _ = at_b2
    endpoint, region, bucket, key_id, secret, *marks = known
    assert (endpoint, region) == ("https://s3.us-west-002.backblazeb2.com", "us-west-002")
    assert (bucket, key_id, secret) == ("media-bucket", "b2-key-id", "SECRET-made")
    assert marks == [True, True, False], "the account's answer holds a token, its address is none"


def test_secrets_are_marked_on_their_way_to_the_server(at_aws: Built) -> None:
    requests, _, _ = at_aws
    for request in children(requests).values():
        for name, value in request.object.fields.items():
            assert not is_secret(value), f"{request.name}.{name}: nothing secret goes into the store's own resources"
