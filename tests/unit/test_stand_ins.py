"""Stand-ins take what the published providers take, and nothing else."""

from __future__ import annotations

import inspect
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi_command import local, remote

from sandbox.plugins.aws.resources import PROVIDER as AWS
from sandbox.plugins.bridged import alike
from sandbox.plugins.checking import Property, Values, check
from sandbox.plugins.command.resources import RESOURCES
from sandbox.plugins.resource import Provider
from sandbox.plugins.serving import Servicer
from sandbox.plugins.terraform_provider.b2 import PROVIDER as B2
from sandbox.plugins.values import SECRET, SIGNATURE, UNKNOWN, from_wire, to_wire
from sandbox.world import ROOT

PUBLISHED: dict[str, type[Any]] = {
    "command:remote:Command": remote.CommandArgs,
    "command:remote:CopyToRemote": remote.CopyToRemoteArgs,
    "command:remote:CopyFile": remote.CopyFileArgs,
    "command:local:Command": local.CommandArgs,
}
CONNECTION = {"host": "h"}


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def test_inputs_are_those_of_the_published_sdk() -> None:
    assert set(RESOURCES) == set(PUBLISHED)
    for token, resource in RESOURCES.items():
        parameters = inspect.signature(PUBLISHED[token].__init__).parameters
        wanted = {
            camel(name): p.default is inspect.Parameter.empty for name, p in parameters.items() if name != "__self__"
        }
        assert {name: p.required for name, p in resource.inputs.items()} == wanted
    parameters = inspect.signature(remote.ConnectionArgs.__init__).parameters
    names = {camel(name) for name in parameters if name != "__self__"}
    assert set(RESOURCES["command:remote:Command"].inputs["connection"].fields or {}) == names


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        ({"connection": CONNECTION, "bogus": 1}, "bogus"),
        ({"connection": CONNECTION | {"bogus": 1}}, "connection.bogus"),
        ({"connection": {}}, "connection.host"),
        ({}, "connection"),
        ({"connection": CONNECTION, "create": 5}, "create"),
        ({"connection": CONNECTION, "environment": {"A": 1}}, "environment.A"),
    ],
)
def test_what_the_published_provider_refuses_is_refused(inputs: dict[str, Any], wrong: str) -> None:
    _, failures = check(RESOURCES["command:remote:Command"].inputs, inputs)
    assert [name for name, _ in failures] == [wrong]


def test_defaults_are_filled_and_the_connection_is_secret() -> None:
    filled, failures = check(RESOURCES["command:remote:Command"].inputs, {"connection": CONNECTION})
    assert not failures and set(filled) == {"connection"}, "the published plugin fills in nothing else"
    assert filled["connection"][SIGNATURE] == SECRET
    assert filled["connection"]["value"] | {"host": ""} == {
        "host": "", "user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15,
    }  # fmt: skip


def diff(token: str, old: Values, new: Values) -> provider_pb2.DiffResponse:
    request = provider_pb2.DiffRequest(urn=f"urn:pulumi:s::p::{token}::n", olds=to_wire(old), news=to_wire(new))
    return Servicer(Provider("1.2.1", RESOURCES), None).Diff(request, None)


def test_a_changed_trigger_replaces_and_any_other_change_updates() -> None:
    base = {"create": "a", "triggers": ["1"], "connection": CONNECTION}
    assert diff("command:remote:Command", base, base | {"triggers": ["2"]}).replaces == ["triggers"]
    for change in ({"create": "b"}, {"connection": {"host": "i"}}, {"delete": "x"}, {"environment": {"A": "b"}}):
        answer = diff("command:remote:Command", base, base | change)
        assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME and not answer.replaces
    assert diff("command:remote:Command", base, base).changes == provider_pb2.DiffResponse.DIFF_NONE
    moved = diff("command:remote:CopyFile", {"localPath": "a"}, {"localPath": "b"})
    assert moved.replaces == ["localPath"], "it has no update"


def test_a_changed_setting_of_a_provider_updates_it_and_replaces_nothing() -> None:
    def change(old: Values, new: Values) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(urn="u", old_inputs=to_wire(old), news=to_wire(new))
        return Servicer(AWS, None).DiffConfig(request, None)

    answer = change({"region": "a"}, {"region": "b", "profile": "p"})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert answer.diffs == ["profile", "region"] and not answer.replaces
    assert change({"region": "a"}, {"region": "a"}).changes == provider_pb2.DiffResponse.DIFF_NONE


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (None, {}, True),
        ({"a": None}, {}, True),
        ({"a": {"b": False}}, {"a": {}}, True),
        ([{"a": ""}], [{}], True),
        ({"a": 1}, {}, False),
        ([], [{}], False),
        ([1], [2], False),
        ("", None, True),
        ("x", {}, False),
    ],
)
def test_to_terraform_an_empty_value_is_none(old: Any, new: Any, same: bool) -> None:
    assert alike(old, new) == alike(new, old) == same


def test_local_commands_run_with_stdin_environment_and_previous_output(tmp_path: Path) -> None:
    command = RESOURCES["command:local:Command"]
    lines: list[str] = []
    inputs = {
        "create": "cat; echo $A; sleep 0.2; echo err >&2",
        "stdin": "in\n",
        "environment": {"A": "b"},
        "dir": str(tmp_path),
    }
    assert command.create(inputs, lines.append) == {"stdout": "in\nb", "stderr": "err"}
    assert lines == ["in", "b", "err"]
    assert command.update
    again = {"create": "x", "update": "echo was $PULUMI_COMMAND_STDOUT"}
    assert command.update({"stdout": "old"}, again, lines.append)["stdout"] == "was old"
    quiet = again | {"addPreviousOutputInEnv": False, "logging": "none"}
    assert command.update({"stdout": "old"}, quiet, lambda line: pytest.fail(line))["stdout"] == "was"
    assert command.update({"stdout": "kept"}, {}, lines.append)["stdout"] == "kept", "nothing to run"
    with pytest.raises(RuntimeError, match='exit status 3: running "echo no; exit 3":\nno'):
        command.create({"create": "echo no; exit 3"}, lines.append)


def test_asset_paths_follow_the_documented_globs(tmp_path: Path) -> None:
    for name in ("assets/a/b.png", "src/index.js", "src/deep/x.js", "src/secret.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    inputs = {"create": "true", "dir": str(tmp_path), "assetPaths": ["assets/**", "src/*.js", "!**secret.*"]}
    assert set(RESOURCES["command:local:Command"].create(inputs, print)["assets"]) == {"assets/a/b.png", "src/index.js"}


def test_unknown_values_and_secrets_survive_the_wire() -> None:
    values = {"a": {SIGNATURE: SECRET, "value": "s"}, "b": UNKNOWN, "c": [1, True, None]}
    assert from_wire(to_wire(values)) == values


#: Runs a stand-in that looks for its engine all the time.
WATCHFUL = """
import runpy, sys
from sandbox.plugins import serving
serving.LOOK_SECONDS = 0.05
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_stand_in_ends_when_its_engine_is_gone() -> None:
    plugin = ROOT / "sandbox/plugins/command/pulumi-resource-command"
    with socket.create_server(("127.0.0.1", 0)) as engine:
        address = f"127.0.0.1:{engine.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHFUL, plugin, address], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and int(process.stdout.readline()) > 0
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
    assert process.wait(timeout=30) == 0
    process.stdout.close()


AWS_BUCKET = AWS.resources["aws:s3/bucket:Bucket"].inputs
LIFECYCLE = AWS.resources["aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"].inputs
B2_BUCKET, B2_KEY = (
    B2.resources[f"b2:index/{name}"].inputs for name in ("bucket:Bucket", "applicationKey:ApplicationKey")
)


@pytest.mark.parametrize(
    ("properties", "values", "refused"),
    [
        (AWS_BUCKET, {"bucket": "b", "acl2": "x"}, "acl2"),
        (AWS_BUCKET, {"bucket": 1}, "bucket"),
        (LIFECYCLE, {"rules": []}, "bucket"),
        (LIFECYCLE, {"bucket": "b", "rules": [{"id": "a", "status": "On"}]}, "rules.0.status"),
        (LIFECYCLE, {"bucket": "b", "rules": [{"status": "Enabled"}]}, "rules.0.id"),
        (LIFECYCLE, {"bucket": "b", "rules": [{"id": "a", "status": "Enabled", "days": 1}]}, "rules.0.days"),
        (
            LIFECYCLE,
            {"bucket": "b", "rules": [{"id": "a", "status": "Enabled", "expiration": {"days": "1"}}]},
            "rules.0.expiration.days",
        ),
        (B2_BUCKET, {"bucketName": "b"}, "bucketType"),
        (B2_BUCKET, {"bucketName": "b", "bucketType": "allPrivate", "private": True}, "private"),
        (B2_BUCKET, {"bucketName": "b", "bucketType": "x", "lifecycleRules": [{}]}, "lifecycleRules.0.fileNamePrefix"),
        (B2_KEY, {"keyName": "k", "capabilities": "all"}, "capabilities"),
    ],
)
def test_a_stand_in_refuses_what_the_published_schema_does_not_have(
    properties: dict[str, Property], values: dict[str, Any], refused: str
) -> None:
    _, failures = check(properties, values)
    assert [name for name, _ in failures] == [refused]


def test_a_bucket_with_another_name_is_another_bucket_and_tags_are_an_update() -> None:
    assert AWS_BUCKET["bucket"].replaces and not AWS_BUCKET["tags"].replaces
    assert B2_BUCKET["bucketName"].replaces and not B2_BUCKET["lifecycleRules"].replaces
    assert B2.resources["b2:index/applicationKey:ApplicationKey"].update is None, "every change replaces a key"


def test_the_access_key_leaves_the_plugin_marked_as_secret() -> None:
    assert "secret" in AWS.resources["aws:iam/accessKey:AccessKey"].secret_outputs
    assert "applicationKey" in B2.resources["b2:index/applicationKey:ApplicationKey"].secret_outputs
    assert B2.secret_results == ("accountAuthToken",)
