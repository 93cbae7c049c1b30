"""The example stacks preview as they are once their secrets are set, without credentials for other providers."""

from __future__ import annotations

import json

import pytest
import yaml

from sandbox import aws, b2
from sandbox.engine import Stack
from sandbox.world import ROOT, SSH_KEY

PROVIDERS: dict[str, set[str]] = {"existing": set(), "aws": {"aws"}, "b2": {"b2"}}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_example_previews_and_asks_for_no_other_provider(sandbox: None, kind: str) -> None:
    stack = Stack(f"sandbox-example-{kind}", extra=aws.environment() if kind == "aws" else {})
    stack.create({"phase": "prepare"}, {})
    try:
        example = yaml.safe_load((ROOT / f"stacks/Pulumi.example-{kind}.yaml").read_text())
        made = yaml.safe_load(stack.config_file.read_text())
        stack.config_file.write_text(yaml.safe_dump({**made, "config": example["config"]}))
        stack.set_secret("server.privateKey", SSH_KEY.read_text())
        if kind == "existing":
            stack.set_secret("store.accessKeyId", "id")
            stack.set_secret("store.secretAccessKey", "key")
        elif kind == "aws":
            aws.up()
        else:
            b2.up()
            stack.must("config", "set", "b2:endpoint", b2.ENDPOINT)
            stack.set_secret("b2:applicationKeyId", b2.KEY_ID)
            stack.set_secret("b2:applicationKey", b2.KEY)
        # A server that is nowhere: the plan is made without it, at once.
        stack.set("server.host", "127.0.0.1")
        stack.set("server.port", "9")
        output = stack.must("preview", "--json")
        preview = json.loads(output[output.index("{\n") : output.rindex("}") + 1])
        types = {step["newState"]["type"] for step in preview["steps"]}
        asked = {kind.split(":")[2] for kind in types if kind.startswith("pulumi:providers:")}
        used = {kind.split(":")[0] for kind in types} - {"pulumi", "matrix-media-store", "command"}
        assert used == PROVIDERS[kind] and asked <= {"command", *PROVIDERS[kind]}
    finally:
        stack.remove()
