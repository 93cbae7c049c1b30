"""The stand-in for the AWS plugin, against moto: what it asks the service for, and what a change does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.client
import pytest
from moto import mock_aws

from sandbox.plugins.aws.bucket_settings import LIFECYCLE_SECONDS
from sandbox.plugins.aws.resources import PROVIDER
from tests.unit.speaking import Refused, Speaker, configure

#: moto's.
ACCOUNT = "123456789012"
CONFIG = {"region": "eu-central-1", "accessKey": "AKIA", "secretKey": "s"}
#: What the sandbox's stack says, so that the account stays unknown.
NAMELESS = {**CONFIG, "skipCredentialsValidation": "true", "skipRequestingAccountId": "true"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::media"}]})  # fmt: skip
RULE = {
    "id": "old-versions", "status": "Enabled", "filter": {"prefix": ""},
    "noncurrentVersionExpiration": {"noncurrentDays": 1}, "expiration": {"expiredObjectDeleteMarker": True},
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
}  # fmt: skip
USER, USER_POLICY = "aws:iam/user:User", "aws:iam/userPolicy:UserPolicy"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"


def of_bucket(name: str) -> str:
    return f"aws:s3/{name[0].lower()}{name[1:]}:{name}"


BUCKET = of_bucket("Bucket")
#: Each setting of a bucket: what a program gives, the call by which somebody changes it by hand, what that is to the
#: program, and the call that takes it away, if S3 can be without.
SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, dict[str, Any]], dict[str, Any], str]] = {
    "BucketPublicAccessBlock": (
        {"blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True},
        ("put_public_access_block", {"PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True, "BlockPublicPolicy": False, "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True}}),
        {"blockPublicPolicy": False},
        "delete_public_access_block",
    ),
    "BucketOwnershipControls": (
        {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        ("put_bucket_ownership_controls", {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}),
        {"rule": {"objectOwnership": "ObjectWriter"}},
        "delete_bucket_ownership_controls",
    ),
    "BucketPolicy": (
        {"policy": POLICY},
        ("put_bucket_policy", {"Policy": POLICY.replace("Deny", "Allow")}),
        {"policy": POLICY.replace("Deny", "Allow")},
        "delete_bucket_policy",
    ),
    "BucketServerSideEncryptionConfiguration": (
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]}}),
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}]},
        "delete_bucket_encryption",
    ),
    "BucketVersioning": (
        {"versioningConfiguration": {"status": "Enabled"}},
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        {"versioningConfiguration": {"status": "Suspended"}},
        "",
    ),
    "BucketLifecycleConfiguration": (
        {"rules": [RULE]},
        ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [
            {"ID": "old-versions", "Status": "Enabled", "Filter": {"Prefix": ""},
             "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}]}}),
        {"rules": [{"id": "old-versions", "status": "Enabled", "filter": {"prefix": ""},
                    "noncurrentVersionExpiration": {"noncurrentDays": 30}}]},
        "delete_bucket_lifecycle",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An empty cloud of moto's; yields the calls made to it."""
    calls: list[str] = []
    call = botocore.client.BaseClient._make_api_call

    def noted(client: Any, name: str, arguments: Any) -> Any:
        calls.append(f"{client.meta.service_model.service_name}:{name}")
        return call(client, name, arguments)

    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", LIFECYCLE_SECONDS):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        configure(PROVIDER, NAMELESS)
        calls.clear()
        yield calls


def by_hand(service: str) -> Any:
    return boto3.client(service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="s")


def made(token: str, inputs: dict[str, Any]) -> tuple[Speaker, str, dict[str, Any]]:
    resource = Speaker(PROVIDER, token)
    return resource, *resource.create(inputs)


def unchanged(resource: Speaker, state: dict[str, Any], inputs: dict[str, Any]) -> tuple[Any, Any]:
    """What a refresh finds where nothing drifted."""
    return state, {name: value for name, value in resource.check(inputs).items() if name != "__defaults"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_refresh_sees_what_was_changed_on_a_bucket_by_hand_and_an_update_puts_it_right(name: str) -> None:
    given, (call, changed), seen, _ = SETTINGS[name]
    made(BUCKET, {"bucket": "media"})
    inputs = {"bucket": "media", **given}
    setting, number, state = made(of_bucket(name), inputs)
    assert number == "media" and state["region"] == "eu-central-1"
    assert setting.read(state, inputs) == unchanged(setting, state, inputs)
    assert not setting.diff(state, inputs).diffs

    getattr(by_hand("s3"), call)(Bucket="media", **changed)
    found = setting.read(state, inputs)
    assert found
    now, old = found
    assert {name: old[name] for name in seen} == seen
    answer = setting.diff(now, inputs, old)
    assert list(answer.diffs) == list(seen) and not answer.replaces
    setting.update(now, inputs)
    assert setting.read(now, inputs) == unchanged(setting, state, inputs)


@pytest.mark.parametrize("name", [name for name, (*_, drop) in SETTINGS.items() if drop])
def test_a_refresh_sees_that_a_setting_is_gone_and_that_its_bucket_is(name: str) -> None:
    given, _, _, drop = SETTINGS[name]
    bucket, _, bucket_state = made(BUCKET, {"bucket": "media"})
    inputs = {"bucket": "media", **given}
    setting, _, state = made(of_bucket(name), inputs)
    getattr(by_hand("s3"), drop)(Bucket="media")
    assert setting.read(state, inputs) is None
    setting.delete(state)  # what is gone already is no error
    bucket.delete(bucket_state)
    assert setting.read(state, inputs) is None and bucket.read(bucket_state, {"bucket": "media"}) is None
    setting.delete(state)
    bucket.delete(bucket_state)


def test_tags_come_with_the_bucket_and_a_refresh_sees_foreign_ones(cloud: list[str]) -> None:
    bucket = Speaker(PROVIDER, BUCKET)
    inputs = {"bucket": "media", "tags": {"a": "1"}}
    checked = bucket.check(inputs)
    assert checked["tagsAll"] == {"a": "1"} and checked["region"] == "eu-central-1"
    bucket.create(inputs)
    assert cloud == ["s3:CreateBucket", "s3:GetBucketTagging"], "moto passes over tags in there; the gateway does not"
    state = bucket.update({**checked, "tags": {}, "tagsAll": {}}, inputs)
    assert state["tagsAll"] == {"a": "1"}
    by_hand("s3").put_bucket_tagging(Bucket="media", Tagging={"TagSet": [{"Key": "b", "Value": "2"}]})
    found = bucket.read(state, inputs)
    assert found and found[0]["tags"] == found[0]["tagsAll"] == {"b": "2"}
    assert set(bucket.diff(found[0], inputs, found[1]).diffs) == {"tags", "tagsAll"}
    assert bucket.update(found[0], inputs)["tagsAll"] == {"a": "1"}, "the foreign one is gone"


def test_with_an_account_id_tags_go_through_s3_control(cloud: list[str]) -> None:
    configure(PROVIDER, CONFIG)
    cloud.clear()
    bucket, _, state = made(BUCKET, {"bucket": "media", "tags": {"a": "1"}})
    assert cloud == ["s3:CreateBucket", "s3control:ListTagsForResource"]
    assert bucket.update({**state, "tagsAll": {"old": "1"}}, {"bucket": "media", "tags": {"a": "1"}})["tagsAll"] == {
        "a": "1"
    }
    assert "s3control:TagResource" in cloud and "s3control:UntagResource" in cloud
    assert not [call for call in cloud if "BucketTagging" in call]


def test_the_providers_tags_are_on_all_that_has_tags_and_ignored_ones_are_not_seen() -> None:
    tags = {"defaultTags": '{"tags": {"team": "chat", "a": "0"}}', "ignoreTags": '{"keyPrefixes": ["x-"]}'}
    configure(PROVIDER, {**NAMELESS, **tags})
    given = {"name": "u", "tags": {"a": "1"}}
    user, _, state = made(USER, given)
    assert state["tags"] == {"a": "1"} and state["tagsAll"] == {"team": "chat", "a": "1"}
    iam = by_hand("iam")
    assert {tag["Key"]: tag["Value"] for tag in iam.list_user_tags(UserName="u")["Tags"]} == state["tagsAll"]
    iam.tag_user(UserName="u", Tags=[{"Key": "x-cost", "Value": "1"}])
    assert user.read(state, given) == unchanged(user, state, given)
    configure(PROVIDER, {**NAMELESS, "defaultTags": '{"tags": {"team": "mail"}}'})
    assert list(user.diff(state, given, user.check(given)).diffs) == ["tagsAll"]


def test_another_region_replaces_all_that_is_in_one_and_nothing_that_is_not() -> None:
    resources = {BUCKET: {"bucket": "media"}, USER: {"name": "u"}}
    resources |= {of_bucket(name): {"bucket": "media", **given} for name, (given, *_) in SETTINGS.items()}
    states = {token: made(token, inputs) for token, inputs in resources.items()}
    configure(PROVIDER, {**NAMELESS, "region": "eu-west-1"})
    for token, (resource, _, state) in states.items():
        replaces = [] if token == USER else ["region"]
        assert resource.diff(state, resources[token], state).replaces == replaces
        kept = {**resources[token], **({} if token == USER else {"region": "eu-central-1"})}
        assert not resource.diff(state, kept, state).diffs, "the resource's own region comes before the provider's"


def test_a_region_from_the_environment_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    configure(PROVIDER, {name: value for name, value in NAMELESS.items() if name != "region"})
    bucket, _, state = made(BUCKET, {"bucket": "media"})
    assert state["region"] == "eu-west-3" and not bucket.diff(state, {"bucket": "media"}).diffs


def test_what_has_a_name_of_the_programs_is_deleted_before_it_is_replaced() -> None:
    bucket, _, state = made(BUCKET, {"bucket": "media"})
    assert bucket.diff(state, {"bucket": "other"}, state).deleteBeforeReplace
    assert not bucket.diff(state, {"bucket": "media", "forceDestroy": True}, state).deleteBeforeReplace
    bucket, number, state = made(BUCKET, {})
    assert number.startswith("n-") and state["__defaults"] == ["bucket"]
    answer = bucket.diff(state, {"region": "eu-west-1"}, state)
    assert answer.replaces == ["region"] and not answer.deleteBeforeReplace
    assert bucket.check({}, state)["bucket"] == number, "it keeps its name"
    assert bucket.check({}, {**state, "__defaults": []})["bucket"] != number, "but no name of the program's"


def test_a_refresh_sees_changed_and_removed_users_policies_and_keys() -> None:
    made(USER, {"name": "u"})
    given = {"name": "p", "user": "u", "policy": POLICY}
    policy, number, state = made(USER_POLICY, given)
    iam = by_hand("iam")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(json.loads(POLICY), indent=1))
    assert number == "u:p" and policy.read(state, given) == unchanged(policy, state, given), "layout is no change"
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=POLICY.replace("Deny", "Allow"))
    found = policy.read(state, given)
    assert found and "Allow" in found[0]["policy"] and list(policy.diff(found[0], given, found[1]).diffs) == ["policy"]
    key, _, key_state = made(ACCESS_KEY, {"user": "u"})
    iam.update_access_key(UserName="u", AccessKeyId=key_state["accessKeyId"], Status="Inactive")
    found = key.read(key_state, {"user": "u"})
    assert found and found[0]["status"] == "Inactive" and found[0]["secret"], "which only its making showed"
    answer = key.diff(found[0], {"user": "u"}, found[1])
    assert list(answer.diffs) == ["status"] and not answer.replaces
    key.update(found[0], {"user": "u"})
    assert key.read(key_state, {"user": "u"}) == unchanged(key, found[0] | {"status": "Active"}, {"user": "u"})
    for resource, its_state, its_inputs in ((policy, state, given), (key, key_state, {"user": "u"})):
        resource.delete(its_state)
        assert resource.read(its_state, its_inputs) is None


def test_a_renamed_user_stays_the_same_user() -> None:
    user, _, state = made(USER, {"name": "u"})
    assert not user.diff(state, {"name": "v"}, state).replaces
    assert user.update(state, {"name": "v"})["uniqueId"] == state["uniqueId"]
    assert user.read(state, {"name": "u"}) is None


def test_a_lifecycle_takes_as_long_as_the_published_provider_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    made(BUCKET, {"bucket": "media"})
    inputs = {"bucket": "media", "rules": [RULE]}
    lifecycle, _, state = made(of_bucket("BucketLifecycleConfiguration"), inputs)
    assert sum(slept) == 0
    monkeypatch.setenv(LIFECYCLE_SECONDS, "55")
    lifecycle.update(state, inputs)
    made(of_bucket("BucketLifecycleConfiguration"), inputs)
    assert sum(slept) == 110


def test_a_user_is_not_imported() -> None:
    with pytest.raises(Refused, match="imports nothing of this type"):
        Speaker(PROVIDER, "aws:iam/user:User").read({}, {})
