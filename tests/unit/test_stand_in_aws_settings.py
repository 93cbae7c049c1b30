"""The provider's own settings, as the published AWS plugin takes and heeds them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import botocore.client
import pulumi_aws
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID

from sandbox.plugins.aws.account import account
from sandbox.plugins.aws.resources import PROVIDER
from tests.unit.speaking import Refused, check_config, configure

#: A value for each kind of setting that is no text, as the engine sends it.
JSON = {"Sequence": "[]", "Args": "{}", "bool": "true", "int": "3"}
KEYS = {"region": "eu-central-1", "accessKey": "AKIA", "secretKey": "s"}
UNASKED = {"skipCredentialsValidation": "true", "skipRequestingAccountId": "true"}


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def published() -> dict[str, str]:
    """The settings that the installed SDK has, with a value for each."""
    parameters = inspect.signature(pulumi_aws.ProviderArgs.__init__).parameters
    kinds = {camel(name): str(p.annotation) for name, p in parameters.items() if name != "__self__"}
    chosen = {"retryMode": "adaptive", "skipMetadataApiCheck": "true"}
    return {
        name: chosen.get(name) or next((value for part, value in JSON.items() if part in kind), "x")
        for name, kind in kinds.items()
    }


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The calls made to a cloud of moto's."""
    made: list[str] = []
    call = botocore.client.BaseClient._make_api_call

    def noted(client: Any, name: str, arguments: Any) -> Any:
        made.append(f"{client.meta.service_model.service_name}:{name}")
        return call(client, name, arguments)

    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        yield made


def test_every_setting_of_the_published_sdk_is_taken(calls: list[str]) -> None:
    settings = {**published(), **KEYS, **UNASKED}
    assert len(settings) > 30
    assert check_config(PROVIDER, settings) == []
    for name in ("assumeRoleWithWebIdentity", "customCaBundle", "profile"):  # which lead elsewhere
        settings.pop(name)
    configure(PROVIDER, settings)


def test_an_unknown_setting_is_refused_in_the_bridges_words(calls: list[str]) -> None:
    assert check_config(PROVIDER, {**UNASKED, "regoin": "x"}) == [
        "`aws:regoin` is not a valid configuration key for the aws provider. If the referenced key is not intended "
        "for the provider, please choose a different namespace from `aws:`."
    ]
    (said,) = check_config(PROVIDER, {**UNASKED, "skipRegionValidation": "perhaps"})
    assert said.startswith("could not validate provider configuration: ") and "aws:skipRegionValidation" in said
    assert check_config(PROVIDER, {**UNASKED, "assumeRole": "{}"}) == [
        "invalid config key 'aws:assumeRole', should be 'aws:assumeRoles'"
    ]


@pytest.mark.parametrize(
    ("settings", "checked", "configured"),
    [
        ({}, ["sts:GetCallerIdentity"], ["sts:GetCallerIdentity"]),
        ({"skipRequestingAccountId": "true"}, ["sts:GetCallerIdentity"], ["sts:GetCallerIdentity"]),
        ({"skipCredentialsValidation": "true"}, [], ["iam:GetUser"]),
        (UNASKED, [], []),
    ],
)
def test_sts_is_asked_only_where_the_published_provider_would(
    calls: list[str], settings: dict[str, str], checked: list[str], configured: list[str]
) -> None:
    assert check_config(PROVIDER, {**KEYS, **settings}) == []
    assert calls == checked
    calls.clear()
    configure(PROVIDER, {**KEYS, **settings})
    assert calls == configured or calls == [*configured, "sts:GetCallerIdentity"], "moto's IAM knows no such user"
    assert account().id == ("" if settings == UNASKED else DEFAULT_ACCOUNT_ID)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowedAccountIds": '["1"]'}, f"AWS account ID not allowed: {DEFAULT_ACCOUNT_ID}"),
        ({"forbiddenAccountIds": f'["{DEFAULT_ACCOUNT_ID}"]'}, f"AWS account ID not allowed: {DEFAULT_ACCOUNT_ID}"),
        ({"allowedAccountIds": f'["{DEFAULT_ACCOUNT_ID}"]', **UNASKED}, "AWS account ID not allowed: "),
        ({"allowedAccountIds": f'["{DEFAULT_ACCOUNT_ID}"]', "forbiddenAccountIds": '["1"]'}, ""),
        ({"allowedAccountIds": f"[{DEFAULT_ACCOUNT_ID}]"}, ""),
        ({"region": "eu-central-9", "skipRegionValidation": "false", **UNASKED}, "invalid AWS Region: eu-central-9"),
        ({"region": "eu-central-9", **UNASKED}, ""),
    ],
)
def test_accounts_and_regions_that_are_not_wanted_are_refused(
    calls: list[str], settings: dict[str, str], said: str
) -> None:
    if not said:
        assert check_config(PROVIDER, {**KEYS, **settings}) == []
        configure(PROVIDER, {**KEYS, **settings})
        return
    with pytest.raises(Refused) as error:
        configure(PROVIDER, {**KEYS, **settings})
    assert str(error.value) == said


def test_what_nothing_can_be_done_without_is_told_before_anything_is_made(calls: list[str]) -> None:
    (said,) = check_config(PROVIDER, {name: value for name, value in KEYS.items() if name != "region"})
    assert said.startswith("Missing region information\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        assert check_config(PROVIDER, {"region": "eu-central-1"}) == ["No valid credential sources found."]
        assert check_config(PROVIDER, {"region": "eu-central-1", **UNASKED}) == []
        with pytest.raises(Refused, match=r"^No valid credential sources found\.$"):
            configure(PROVIDER, {"region": "eu-central-1", **UNASKED})
    assert not calls


def test_credentials_that_sts_does_not_know_are_told_in_the_providers_words(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "InvalidClientTokenId"

    def refuse(client: Any, name: str, arguments: Any) -> Any:
        raise botocore.client.ClientError({"Error": {"Code": code, "Message": "no"}}, name)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    assert check_config(PROVIDER, KEYS) == ["The configured AWS credentials are invalid or have expired."]
    code = "AccessDenied"
    (said,) = check_config(PROVIDER, KEYS)
    assert said.startswith("unable to validate AWS credentials.\nDetails: ") and "AccessDenied" in said
    with pytest.raises(Refused, match="^validating provider credentials: retrieving caller identity from STS: "):
        configure(PROVIDER, KEYS)


def test_roles_are_assumed_one_after_the_other(calls: list[str]) -> None:
    roles = '[{"roleArn": "arn:aws:iam::111111111111:role/a", "duration": "1h", "tags": {"a": "b"}}, '
    roles += '{"roleArn": "arn:aws:iam::222222222222:role/b", "sessionName": "second"}]'
    configure(PROVIDER, {**KEYS, "assumeRoles": roles})
    assert calls == ["sts:AssumeRole", "sts:AssumeRole", "sts:GetCallerIdentity"]
    assert account().id == "222222222222"


def test_endpoints_and_the_style_of_addresses_are_the_settings() -> None:
    endpoints = '[{"s3": "http://s3.test"}, {"iam": "http://iam.test"}]'
    configure(PROVIDER, {**KEYS, **UNASKED, "endpoints": endpoints, "s3UsePathStyle": "true", "maxRetries": "2"})
    s3 = account().client("s3", "eu-west-1")
    assert s3.meta.endpoint_url == "http://s3.test" and s3.meta.region_name == "eu-west-1"
    assert s3.generate_presigned_url("head_bucket", {"Bucket": "media"}).startswith("http://s3.test/media?")
    assert account().client("iam").meta.endpoint_url == "http://iam.test"
    configure(PROVIDER, {**KEYS, **UNASKED, "endpoints": endpoints})
    assert (
        account()
        .client("s3")
        .generate_presigned_url("head_bucket", {"Bucket": "media"})
        .startswith("http://media.s3.test/")
    )
