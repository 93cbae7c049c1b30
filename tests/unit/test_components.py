"""What the stack is made of, and with which options, under mocks."""

from __future__ import annotations

import base64
import io
import json
import shlex
import zipfile
from typing import Any

import pulumi
import pytest

from components import settings as stack_settings
from components.host import zipapp
from components.host.connection import Connection
from components.host.media_server import MediaServer
from components.host.observation import StartFrom
from components.host.sections import api_token, sections
from components.store import Store, make_store

from .recording import Request, is_secret, record
from .test_settings import GOOD, HOST_KEY

#: Registrations by name, and the server's verdict.
Built = tuple[dict[str, Request], Any]
COMMANDS = ("matrix-agent", "matrix-mount", "matrix-media-store")


class Stand(pulumi.CustomResource):
    """Any resource of a store."""

    def __init__(self, name: str) -> None:
        super().__init__("test:store:Policy", name, {}, None)


def program(phase: str = "mirror", after: str = "1", resources: int = 0, user: str = "root") -> Built:
    def run() -> pulumi.Output[Any]:
        values = json.loads(json.dumps(GOOD)) | {"phase": phase}
        values["server"]["user"] = user
        settings = stack_settings.parse(values)
        store = make_store("matrix-bucket", settings.store)
        ready = tuple(Stand(f"policy-{n}") for n in range(resources))
        store = Store(**{**{f: getattr(store, f) for f in store.__dataclass_fields__}, "ready": ready})
        server = MediaServer(
            "matrix",
            connection=Connection.of(settings.server),
            store=store,
            sections=sections(settings, store, "test"),
            token=api_token(settings),
            phase=settings.phase,
            start=StartFrom(after, "mark"),
        )
        return server.verdict

    return record(run)


def depends_on(request: Request) -> set[str]:
    """Names of the resources that must be there first."""
    return {urn.rpartition("::")[2] for urn in request.dependencies}


@pytest.fixture(scope="module")
def built() -> Built:
    return program(resources=2)


def test_urns_and_type_tokens_are_those_of_the_stacks_in_use(built: Built) -> None:
    requests, _ = built
    assert requests["matrix-bucket (store)"].type == "matrix-media-store:store:ExistingBucket"
    assert requests["matrix"].type == "matrix-media-store:host:MediaServer"
    for name in COMMANDS:
        assert requests[name].type == "command:remote:Command"
        assert requests[name].parent.endswith("matrix-media-store:host:MediaServer::matrix")


def test_every_host_command_depends_on_all_of_the_stores_resources(built: Built) -> None:
    requests, _ = built
    for name in COMMANDS:
        assert {"policy-0", "policy-1"} <= depends_on(requests[name])


def test_the_anchor_comes_first_and_each_command_after_the_one_before(built: Built) -> None:
    requests, _ = built
    assert not depends_on(requests["matrix-agent"]) & set(COMMANDS)
    assert depends_on(requests["matrix-mount"]) & set(COMMANDS) == {"matrix-agent"}
    assert depends_on(requests["matrix-media-store"]) & set(COMMANDS) == {"matrix-agent", "matrix-mount"}


def test_no_command_has_triggers_an_environment_or_protection(built: Built) -> None:
    requests, _ = built
    for name in COMMANDS:
        fields = requests[name].object.fields
        assert "triggers" not in fields and "environment" not in fields
        assert fields["addPreviousOutputInEnv"].bool_value is False
        assert not requests[name].protect, "a protected command would make destroy fail before anything went back"
        assert not requests[name].deleteBeforeReplace


def test_update_is_the_same_as_create_and_delete_leads_home(built: Built) -> None:
    requests, _ = built
    deletes = {}
    for name in COMMANDS:
        fields = requests[name].object.fields
        assert fields["create"].string_value == fields["update"].string_value
        deletes[name] = shlex.split(fields["delete"].string_value)
    mine = ["--stack", "test"]  # a stack that lost the server to another undoes nothing there
    assert deletes["matrix-agent"][-5:-1] == ["uninstall", *mine, "--settings"]
    assert "-c" in deletes["matrix-agent"], "it brings its own agent"
    for name in ("matrix-mount", "matrix-media-store"):
        assert deletes[name][:5] == ["test", "!", "-e", "/usr/local/lib/matrix-media-store/agent.pyz", "||"]
    assert deletes["matrix-mount"][-3:] == ["unmount", *mine]
    assert deletes["matrix-media-store"][-7:] == ["converge", *mine, "--phase", "local", "--after", "any"]


def test_secrets_travel_in_stdin_alone_and_are_marked(built: Built) -> None:
    requests, _ = built
    for name in COMMANDS:
        request = requests[name]
        assert {"stdout", "stderr"} <= set(request.additionalSecretOutputs)
        for field, value in request.object.fields.items():
            if field == "stdin":
                assert is_secret(value)
            elif field != "connection":
                assert "SECRET" not in str(value), f"{name}.{field}"
        connection = request.object.fields["connection"]
        assert is_secret(connection)
        fields = connection.struct_value.fields["value"].struct_value.fields
        assert fields["hostKey"].string_value == HOST_KEY, "the server's key is pinned"


def test_stdin_is_one_json_document_of_secrets(built: Built) -> None:
    requests, _ = built
    stdin = {
        name: json.loads(requests[name].object.fields["stdin"].struct_value.fields["value"].string_value)
        for name in COMMANDS
    }
    keys = {"store": {"access_key_id": "SECRET-id", "secret_access_key": "SECRET-key", "sse_customer_key": ""}}
    assert stdin["matrix-mount"] == keys
    assert stdin["matrix-media-store"] == {"host": {"access_token": "SECRET-token"}}
    assert base64.b64decode(stdin["matrix-agent"].pop("agent")) == zipapp.build()
    assert stdin["matrix-agent"] == keys


def test_the_text_shows_the_phase_and_the_generation_first() -> None:
    for phase, after in (("prepare", "0"), ("live", "7.9f3c")):
        requests, _ = program(phase=phase, after=after)
        words = shlex.split(requests["matrix-media-store"].object.fields["create"].string_value)
        assert words[:7] == [
            "python3", "/usr/local/lib/matrix-media-store/agent.pyz",
            "converge", "--phase", phase, "--after", after,
        ]  # fmt: skip


def test_another_user_than_root_runs_the_agent_with_sudo_that_never_asks() -> None:
    requests, _ = program(user="admin")
    for name in COMMANDS:
        assert requests[name].object.fields["create"].string_value.startswith("sudo -n python3 ")


def test_the_verdict_is_the_last_json_line_and_no_secret(built: Built) -> None:
    _, verdict = built
    assert verdict == {"phase": "mirror", "generation": 2, "base": 1}


def test_the_agent_is_the_same_bytes_each_time_and_stored_uncompressed() -> None:
    first = zipapp.build()
    zipapp.build.cache_clear()
    assert zipapp.build() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {
            "__main__.py",
            "agent/__main__.py",
            "agent/host/units/mount.service",
            "agent/copying/b2-requirements.txt",
        } <= set(archive.namelist())
        assert not [name for name in archive.namelist() if "__pycache__" in name]
