"""The package's schema is made of the settings, and no secret comes in plain text."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from typing import Any

import pulumi
import pytest

from components.package.known import Known, unknown
from components.package.provider import MediaStoreProvider
from components.package.schema import schema
from components.settings import parse, plain_secrets

from .test_settings import GOOD


def test_the_schema_has_the_settings_names_with_their_descriptions_and_what_is_secret() -> None:
    document = schema()
    resource = document["resources"]["matrix-media-store:index:MediaStore"]
    assert resource["requiredInputs"] == ["server"] and resource["isComponent"] is True
    assert resource["inputProperties"]["server"]["$ref"] == "#/types/matrix-media-store:index:Server"
    server = document["types"]["matrix-media-store:index:Server"]
    assert server["required"] == ["host", "hostKey"]
    assert server["properties"]["privateKey"]["secret"] is True and "secret" not in server["properties"]["host"]
    assert server["properties"]["port"]["type"] == "integer"
    assert server["properties"]["statusKeys"] == {
        "type": "array", "items": {"type": "string"}, "description": server["properties"]["statusKeys"]["description"]
    }  # fmt: skip
    store = resource["inputProperties"]["store"]
    assert {each["$ref"].rpartition(":")[2] for each in store["oneOf"]} == {"ExistingStore", "AwsStore", "B2Store"}
    assert document["types"]["matrix-media-store:index:AwsStore"]["properties"]["kind"]["const"] == "aws"
    named = resource["inputProperties"]["stores"]["additionalProperties"]
    assert named["oneOf"] == store["oneOf"]


def test_secrets_in_plain_text_are_found_wherever_they_stand() -> None:
    hidden = pulumi.Output.from_input("x")
    arguments: dict[str, Any] = {
        "server": {"host": "x", "privateKey": "KEY"},
        "store": {"secretAccessKey": hidden, "accessKeyId": "id"},
        "stores": {"one": {"sseCustomerKey": "KEY"}},
        "host": {"accessToken": ""},
    }
    found = [path for key, value in arguments.items() for path in plain_secrets(key, value)]
    assert found == ["server.privateKey", "stores.one.sseCustomerKey"]


def test_a_secret_in_plain_text_is_refused_without_its_value() -> None:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        MediaStoreProvider().construct("media", "matrix-media-store:index:MediaStore", GOOD)
    told = refused.value.message
    assert "server.privateKey" in told and "pulumi.secret()" in told and "SECRET" not in told
    assert refused.value.errors == [], "the engine would print the value of a property that is named"


AWS = {"kind": "aws", "bucket": "media", "region": "eu-central-1"}
R2 = {"preset": "r2", "account": "ab12", "bucket": "media", "accessKeyId": "x", "secretAccessKey": "y"}
AT_AWS = {**R2, "preset": "aws", "region": "eu-west-1"}
B2 = {"kind": "b2", "bucket": "our-media"}


@pytest.mark.parametrize(
    ("section", "name", "store"),
    [
        *[("server", name, AWS) for name in ("host", "hostKey", "privateKey")],
        *[("store", name, AWS) for name in ("bucket", "region", "adopt")],
        *[("store", name, R2) for name in ("account", "bucket", "secretAccessKey")],
        *[("store", name, AT_AWS) for name in ("region", "endpoint")],
        ("store", "bucket", B2),
        *[("store", name, GOOD["store"]) for name in GOOD["store"]],
        *[("host", name, AWS) for name in ("accessToken", "homeserverUrl")],
        ("mount", "cache", AWS),
    ],
)
def test_whatever_is_not_known_yet_the_settings_are_accepted_with_what_stands_for_it(
    section: str, name: str, store: dict[str, Any]
) -> None:
    values = copy.deepcopy({**GOOD, "store": store, "mount": {"cache": "20G"}})
    values["store"]["adopt"] = True

    async def of() -> tuple[dict[str, Any], bool]:
        known = Known()
        given = {**values, section: {**values[section], name: unknown()}}
        return await known.of(given), known.complete

    # asyncio.run would leave none for the tests that come after it.
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        found, complete = loop.run_until_complete(of())
    assert not complete and parse(found)
    assert name != "bucket" or "adopt" not in found["store"], "nobody looks for a bucket of that name"
