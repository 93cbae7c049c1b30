"""Another Pulumi program makes a server and moves its media store with this project's component."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.package.schema import NAME, schema
from sandbox import engine
from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import Begin, Migration, on_disk

PROGRAM = Path(__file__).with_name("other_program")
AGENT = Path("/usr/local/lib/matrix-media-store/agent.pyz")


@pytest.fixture
def plugin() -> Iterator[None]:
    """The package, where the engine looks for plugins; `pulumi package add` lays it for a user."""
    folder = engine.PULUMI_HOME / "plugins" / f"resource-{NAME}-v{schema()['version']}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"pulumi-resource-{NAME}"
    program.write_text(f'#!/bin/sh\nexec {ROOT}/.venv/bin/python {ROOT}/components/package "$@"\n')
    program.chmod(0o755)
    yield
    shutil.rmtree(folder)


def other_stack(migration: Migration, folder: Path) -> tuple[Stack, str]:
    """A stack of the other program, for the same server and bucket, and the key to the server."""
    shutil.copytree(PROGRAM, folder)
    (folder / "stacks").mkdir()
    text = migration.stack.must("config", "--json", "--show-secrets")
    said = {key.partition(":")[2]: entry.get("objectValue", entry["value"]) for key, entry in json.loads(text).items()}
    secrets = {
        "privateKey": said["server"].pop("privateKey"),
        "accessKeyId": said["store"].pop("accessKeyId"),
        "secretAccessKey": said["store"].pop("secretAccessKey"),
    }
    said["host"].pop("accessToken", None)
    stack = Stack(f"{migration.stack.name}-other", root=folder)
    stack.create({"phase": "prepare"}, secrets)
    stack.must("config", "set", "settings", json.dumps({k: v for k, v in said.items() if k != "phase"}))
    return stack, secrets["privateKey"]


def test_a_server_that_the_program_makes_goes_live_and_home_before_it_is_deleted(
    begin: Begin, tmp_path: Path, plugin: None
) -> None:
    """Review, entry 60."""
    migration = begin("package", kind="plain", thin=20)
    stack, key = other_stack(migration, tmp_path / "other")
    # Nobody knows the server yet, so nobody looks at it.
    first = stack.must("preview")
    assert "8 to create" in first, first
    output = stack.phase("live")
    assert json.loads(stack.must("stack", "output", "--json")).items() >= {"phase": "live"}.items(), output
    migration.assert_serves_from_bucket()
    state = json.loads(stack.must("stack", "export"))["deployment"]["resources"]
    component = next(each for each in state if each["type"].endswith(":MediaStore"))
    assert any(urn.endswith("::server") for urn in component["dependencies"])
    assert "PRIVATE KEY" not in json.dumps(state), "no secret lies in plain text"
    # An unchanged program changes nothing, and a wrong argument is told by its name.
    assert "unchanged" in stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.set("phase", "upwards")
    stack.set_secret("privateKey", "HIDDEN, and no key")
    refused = stack.call("preview")
    assert refused.status and "phase: Input should be" in refused.output, refused.output
    assert "use prepare, mirror, live or clean" in refused.output
    assert "server.privateKey: is not an SSH private key" in refused.output and "HIDDEN" not in refused.output
    # While the server changes, its address is not known, and nothing of what is on it goes.
    stack.set("phase", "live")
    stack.set_secret("privateKey", key)
    stack.set("size", "large")
    changing = stack.must("preview")
    assert "command:remote:Command server update" in changing and "delete" not in changing, changing
    stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    assert not on_disk(AGENT).exists()


def test_the_engine_takes_the_packages_schema(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema()))
    done = subprocess.run(
        [engine.pulumi(), "schema", "check", file], env=engine.environment(), text=True, capture_output=True
    )
    assert done.returncode == 0 and "error" not in done.stdout + done.stderr, done.stdout + done.stderr
