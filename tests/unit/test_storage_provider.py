"""A stack that takes over from synapse-s3-storage-provider, or hands over to it: its key, its lines, what clashes."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from pulumi import automation

from components import playbook
from components.outputs import next_step
from components.settings import ConfigurationError, parse
from components.store import make_stores
from operations import playbook_vars
from operations.workspace import OperationError

from .recording import Request, record
from .test_settings import GOOD
from .test_stores import ARN, AWS, B2, children, properties

#: As the playbook calls it in its page on the provider.
PREFIX = "matrix_synapse_ext_synapse_s3_storage_provider_"
PROD = cast(automation.Stack, SimpleNamespace(name="prod"))
TEXT_KEY = b"secret key of exactly 32 bytes!!"


def stack(store: dict[str, Any] = GOOD["store"], **host: Any) -> dict[str, Any]:
    return {**GOOD, "store": store, "host": {**GOOD.get("host", {}), **host}}


def built(store: dict[str, Any], storage_provider: str) -> dict[str, Request]:
    def program() -> Any:
        (only,) = make_stores("matrix", parse(stack(store, storageProvider=storage_provider))).values()
        return only.bucket if only.provider_key is None else only.provider_key[0]

    requests, _ = record(program)
    return {name: request for name, request in children(requests).items() if "provider" in name}


@pytest.mark.parametrize("store", [AWS, B2])
@pytest.mark.parametrize("storage_provider", ["none", "from"])
def test_no_key_is_made_unless_the_stack_hands_over(store: dict[str, Any], storage_provider: str) -> None:
    assert built(store, storage_provider) == {}


def test_at_aws_the_provider_has_a_user_that_removes_nothing_and_outlives_the_stack() -> None:
    made = built(AWS, "to")
    assert all(request.retainOnDelete for request in made.values())
    assert properties(made["matrix-bucket-provider-policy"])["policy"]["Statement"] == [
        {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ARN},
        {
            "Sid": "Media", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": f"{ARN}/*",
        },
    ]  # fmt: skip
    assert properties(made["matrix-bucket-provider-key"])["user"] == "matrix-bucket-provider"


def test_at_b2_the_provider_has_a_key_that_removes_nothing_and_outlives_the_stack() -> None:
    (key,) = built(B2, "to").values()
    assert key.retainOnDelete
    assert properties(key) == {
        "keyName": "storage-provider-media-bucket",
        "capabilities": ["listBuckets", "listFiles", "readFiles", "writeFiles"],
        "bucketIds": ["b2-bucket-id"],
    }


def test_the_lines_are_those_that_the_playbook_reads() -> None:
    values = playbook.provider_variables("https://s3.example.com", "us-1", "media", "matrix/media", "")
    assert yaml.safe_load(playbook.lines(values)) == {
        f"{PREFIX}enabled": True,
        f"{PREFIX}config_bucket": "media",
        f"{PREFIX}config_region_name": "us-1",
        f"{PREFIX}config_endpoint_url": "https://s3.example.com",
        f"{PREFIX}config_storage_class": "STANDARD",
        f"{PREFIX}config_prefix": "matrix/media/",
    }
    keys = yaml.safe_load(playbook.provider_keys(("K", "S"), base64.b64encode(TEXT_KEY).decode()))
    assert keys[f"{PREFIX}config_access_key_id"] == "K" and keys[f"{PREFIX}config_secret_access_key"] == "S"
    assert keys[f"{PREFIX}config_sse_customer_key"] == TEXT_KEY.decode()


def test_a_customers_key_that_is_no_text_is_told_to_be_of_no_use_there() -> None:
    said = playbook.provider_keys(("K", "S"), base64.b64encode(bytes(range(200, 232))).decode())
    assert "the provider cannot be given it" in said and "sse_customer" not in said


def test_where_the_stack_makes_no_key_the_lines_say_what_it_must_be_allowed() -> None:
    assert "a key of your store for this bucket alone, which may list, read and write" in playbook.provider_keys(
        None, ""
    )


@pytest.mark.parametrize("phase", ["prepare", "live", "clean", ""])
def test_the_lines_come_only_where_all_media_are_on_disk_and_in_the_bucket(
    monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    values = playbook.provider_variables("https://s3.example.com", "us-1", "media", "", "")
    known = {
        "phase": phase, "providerKeys": playbook.provider_keys(None, ""),
        "providerVars": playbook.provider_shown(phase, values),
    }  # fmt: skip
    monkeypatch.setattr(playbook_vars, "pulumi", lambda *arguments: json.dumps(known))
    with pytest.raises(OperationError, match="in phase mirror -- pulumi config set phase mirror && pulumi up"):
        playbook_vars.lines(PROD)
    known["providerVars"] = playbook.provider_shown("mirror", values)
    assert f"{PREFIX}enabled" in yaml.safe_load(playbook_vars.lines(PROD))


def test_the_next_step_is_the_providers() -> None:
    leaving, coming = (parse(stack(storageProvider=way)) for way in ("from", "to"))
    assert next_step("live", leaving).startswith("take synapse-s3-storage-provider out of vars.yml")
    assert next_step("mirror", coming).startswith("media-store playbook-vars prints the provider's lines")
    assert "provider" not in next_step("mirror", leaving) + next_step("live", coming)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (stack(storageProvider="both"), "host.storageProvider: .* -- use none, from or to"),
        (stack({**AWS, "onDestroy": "delete"}, storageProvider="to"), "store.onDestroy: would delete .* use retain"),
        (stack(storageProvider="from", adoptMount=True), "host.storageProvider: .* -- use none"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse(values)
