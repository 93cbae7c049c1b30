"""The rights that docs/ name for an administrator's key at AWS are those that the published provider asks for."""

from __future__ import annotations

import json

from sandbox.world import ROOT

#: By the review, entry 44, which ran the published provider.
ASKED = """
sts:GetCallerIdentity
iam:CreateUser iam:GetUser iam:DeleteUser iam:TagUser iam:UntagUser iam:ListGroupsForUser
iam:PutUserPolicy iam:GetUserPolicy iam:DeleteUserPolicy iam:CreateAccessKey iam:ListAccessKeys iam:DeleteAccessKey
s3:CreateBucket s3:ListBucket s3:DeleteBucket s3:GetBucketPolicy s3:GetBucketAcl s3:GetBucketCORS s3:GetBucketWebsite
s3:GetBucketVersioning s3:GetAccelerateConfiguration s3:GetBucketRequestPayment s3:GetBucketLogging
s3:GetLifecycleConfiguration s3:GetReplicationConfiguration s3:GetEncryptionConfiguration
s3:GetBucketObjectLockConfiguration s3:GetBucketOwnershipControls s3:GetBucketPublicAccessBlock
s3:ListTagsForResource s3:GetBucketTagging s3:TagResource
s3:PutBucketPolicy s3:DeleteBucketPolicy s3:PutBucketPublicAccessBlock s3:PutBucketOwnershipControls
s3:PutEncryptionConfiguration s3:PutBucketVersioning s3:PutLifecycleConfiguration s3:PutBucketTagging
"""


def test_the_administrators_policy_allows_all_that_the_provider_asks_for_and_on_nothing_else() -> None:
    policy = json.loads((ROOT / "docs/aws-administrator.json").read_text())
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {*ASKED.split()} <= allowed and not any("*" in action for action in allowed)
    for statement in policy["Statement"]:
        if statement["Sid"] != "WhoAmI":
            assert "BUCKET" in statement["Resource"] or "/matrix-media-store/" in statement["Resource"]


def policy(name: str) -> dict[str, set[str]]:
    """What a policy under docs/ allows, by the names of its statements."""
    statements = json.loads((ROOT / f"docs/aws-{name}.json").read_text())["Statement"]
    return {statement["Sid"]: {*statement["Action"]} for statement in statements}


def test_the_role_for_previews_reads_all_that_the_provider_asks_for_and_changes_nothing() -> None:
    """Review, entry 58."""
    allowed = set().union(*policy("preview").values())
    assert all(action.split(":")[1].startswith(("Get", "List", "Decrypt")) for action in allowed)
    reads = {action for action in ASKED.split() if action.split(":")[1].startswith(("Get", "List"))}
    assert reads <= allowed and {"s3:GetObject", "kms:Decrypt"} <= allowed
    assert "s3:GetObject" not in policy("preview")["Bucket"], "nobody reads media by it"


def test_the_role_for_updates_writes_the_state_and_its_locks() -> None:
    assert policy("update")["State"] == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    assert policy("update")["Secrets"] == {"kms:Decrypt", "kms:Encrypt"}
