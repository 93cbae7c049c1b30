"""The gateway before moto, and the stack that goes through it, fit the published AWS plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import botocore.awsrequest
import pytest
from moto.s3.models import s3_backends
from werkzeug.test import Client

from sandbox import aws, stacks, store
from sandbox.aws.gateway import Gateway


@pytest.fixture(autouse=True)
def empty_cloud() -> Iterator[None]:
    yield
    s3_backends.reset()


def test_the_gateway_gives_a_bucket_the_tags_that_come_with_its_making(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Objects:
        def create_bucket(self, Bucket: str) -> None:  # noqa: N803
            made.append(Bucket)

    monkeypatch.setattr(store, "client", Objects)
    client = boto3.client(
        "s3", region_name=aws.REGION, aws_access_key_id=aws.ACCESS_KEY_ID, aws_secret_access_key="s",
        endpoint_url="http://10.0.0.1",
    )  # fmt: skip
    gateway = Client(Gateway())

    def send(request: Any, **_: Any) -> Any:
        headers = request.headers.items()
        answer = gateway.open(
            request.url.removeprefix("http://10.0.0.1"), method=request.method, data=request.body,
            headers={name: str(value, "ascii") if isinstance(value, bytes) else value for name, value in headers},
        )  # fmt: skip
        return botocore.awsrequest.AWSResponse(request.url, answer.status_code, answer.headers, Raw(answer.data))

    client.meta.events.register("before-send.s3", send)
    tags = [{"Key": "team", "Value": "chat & co"}, {"Key": "empty", "Value": ""}]
    configuration: Any = {"LocationConstraint": aws.REGION, "Tags": tags}
    client.create_bucket(Bucket="tagged", CreateBucketConfiguration=configuration)
    client.create_bucket(Bucket="untagged", CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    assert made == ["tagged", "untagged"]
    assert client.get_bucket_tagging(Bucket="tagged")["TagSet"] == tags
    with pytest.raises(client.exceptions.ClientError, match="NoSuchTagSet"):
        client.get_bucket_tagging(Bucket="untagged")


class Raw:
    """A body as botocore reads it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> list[bytes]:
        return [self._data]


def test_the_sandboxs_stack_leaves_the_account_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    class Stack:
        def __init__(self, name: str, extra: dict[str, str]) -> None: ...

        def create(self, config: dict[str, str], secrets: dict[str, str]) -> None: ...

        def must(self, *arguments: str) -> None:
            said.append(arguments)

    monkeypatch.setattr(stacks, "Stack", Stack)
    monkeypatch.setattr(stacks, "_server", lambda phase, token: ({}, {}))
    for name in ("up", "forget_users", "forget_bucket"):
        monkeypatch.setattr(aws, name, lambda *_: None)
    stacks.at_aws("s", "media")
    assert {arguments[2]: arguments[3] for arguments in said} == {
        "aws:region": "eu-central-1", "aws:skipRequestingAccountId": "true", "aws:skipCredentialsValidation": "true",
    }  # fmt: skip
