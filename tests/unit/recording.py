"""Pulumi mocks that record each resource with its options, which the SDK's own mocks leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2

Request = resource_pb2.RegisterResourceRequest


class Answers(pulumi.runtime.Mocks):
    """Outputs are the inputs; a command's stdout is an agent's verdict."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        outputs = dict(args.inputs)
        if args.typ == "command:remote:Command":
            outputs["stdout"] = 'mirror: done\n{"phase": "mirror", "generation": 2, "base": 1}'
        elif args.typ == "aws:s3/bucket:Bucket":
            outputs["arn"] = f"arn:aws:s3:::{args.inputs['bucket']}"
            return f"{args.inputs['bucket']}-id", outputs
        elif args.typ == "aws:iam/user:User":
            outputs["name"] = args.name
        elif args.typ == "aws:iam/accessKey:AccessKey":
            outputs["secret"] = "SECRET-made"
        elif args.typ == "b2:index/bucket:Bucket":
            outputs["bucketId"] = "b2-bucket-id"
        elif args.typ == "b2:index/applicationKey:ApplicationKey":
            outputs |= {"applicationKeyId": "b2-key-id", "applicationKey": "SECRET-made"}
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        if args.token == "b2:index/getAccountInfo:getAccountInfo":
            url = "https://s3.us-west-002.backblazeb2.com"
            return {"s3ApiUrl": url, "accountAuthToken": secret("SECRET-token")}, []
        return {}, []


class Monitor(mocks.MockMonitor):
    """Keeps every registration as it arrives: type, name, properties, parent, dependencies, options."""

    def __init__(self) -> None:
        super().__init__(Answers())
        self.requests: dict[str, Request] = {}

    def RegisterResource(self, request: Request) -> Any:  # noqa: N802 - the protocol's name
        name = request.name if not request.type.startswith("matrix-media-store:store:") else f"{request.name} (store)"
        assert name not in self.requests, f"two resources named {name}"
        self.requests[name] = request
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def record(program: Callable[[], Any]) -> tuple[dict[str, Request], Any]:
    """Run a program under mocks to its end; returns its registrations by name, and its awaited result."""
    monitor = Monitor()
    pulumi.runtime.set_mocks(Answers(), project="matrix-media-store", stack="test", monitor=monitor)
    results: list[Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> Any:
        return pulumi.Output.from_input(program()).apply(results.append)

    run()
    return monitor.requests, results[0]


def secret(value: Any) -> dict[str, Any]:
    """A value as the wire carries it where it is secret."""
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}


def is_secret(value: Any) -> bool:
    """Whether a property on the wire is marked as secret."""
    mark = value.struct_value.fields["4dabf18193072939515e22adb298388d"].string_value
    return bool(mark == "1b47061264138c4ac30d75fd1eb44270")
