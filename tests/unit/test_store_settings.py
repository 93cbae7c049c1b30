"""The kinds of store and the presets: what they fill in, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.settings import AwsStore, B2Store, ConfigurationError, ExistingStore, Settings, parse, read
from components.settings.fields import Section
from components.settings.presets import region_of
from components.settings.stores import STORES
from sandbox.world import ROOT

from .test_settings import GOOD, SECRET_KEYS, config

#: 32 bytes, in base64.
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEYS = {"accessKeyId": "SECRET-id", "secretAccessKey": "SECRET-key", "bucket": "media"}
AWS = {"kind": "aws", "bucket": "media", "region": "eu-central-1"}
B2 = {"kind": "b2", "bucket": "media-bucket"}


def settings(store: dict[str, Any], **more: Any) -> Settings:
    return parse({**GOOD, "store": store, **more})


def problems(store: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        settings(store, **more)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("store", "endpoint", "region"),
    [
        ({"preset": "gcs"}, "https://storage.googleapis.com", "auto"),
        ({"preset": "wasabi", "region": "eu-central-2"}, "https://s3.eu-central-2.wasabisys.com", "eu-central-2"),
        ({"preset": "r2", "account": "ab12"}, "https://ab12.r2.cloudflarestorage.com", "auto"),
        ({"preset": "r2", "account": "ab12.eu"}, "https://ab12.eu.r2.cloudflarestorage.com", "auto"),
        ({"preset": "hetzner", "region": "fsn1"}, "https://fsn1.your-objectstorage.com", "fsn1"),
        ({"preset": "digitalocean", "region": "fra1"}, "https://fra1.digitaloceanspaces.com", "fra1"),
        ({"preset": "minio", "endpoint": "https://m.example.com:9000/"}, "https://m.example.com:9000", "us-east-1"),
        ({"preset": "ceph", "endpoint": "https://rgw.example.com"}, "https://rgw.example.com", "us-east-1"),
        ({"preset": "b2", "region": "us-west-002"}, "https://s3.us-west-002.backblazeb2.com", "us-west-002"),
        ({"preset": "aws", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ({"endpoint": "https://s3.example.com", "region": "x"}, "https://s3.example.com", "x"),
        (
            {"endpoint": "https://s3.dualstack.eu-west-1.amazonaws.com", "region": "eu-west-1"},
            "https://s3.dualstack.eu-west-1.amazonaws.com",
            "eu-west-1",
        ),
    ],
)
def test_a_preset_fills_in_endpoint_and_region(store: dict[str, Any], endpoint: str, region: str) -> None:
    found = settings({**KEYS, **store}).store
    assert isinstance(found, ExistingStore)
    assert (found.endpoint, found.region) == (endpoint, region)


@pytest.mark.parametrize(
    ("store", "key", "what"),
    [
        ({"preset": "minio"}, "store.endpoint:", "is missing"),
        ({"preset": "wasabi"}, "store.region:", "is missing"),
        ({"preset": "r2"}, "store.endpoint:", "store.account"),
        ({"preset": "nobody", "endpoint": "https://x.example.com", "region": "x"}, "store.preset:", "Input should be"),
        ({"preset": "gcs", "endpoint": "https://gcs.example.com"}, "store.endpoint:", "not the address of gcs"),
        ({"endpoint": "https://s3.us-west-002.backblazeb2.com", "region": "us-east-1"}, "store.endpoint:", "of b2 in"),
        ({"endpoint": "https://s3.eu-west-1.amazonaws.com", "region": "eu-west-2"}, "store.endpoint:", "of aws in"),
        ({"endpoint": "https://fsn1.your-objectstorage.com", "region": "hel1"}, "store.endpoint:", "of hetzner in"),
    ],
)
def test_a_store_whose_parts_do_not_fit_is_refused(store: dict[str, Any], key: str, what: str) -> None:
    (line,) = problems({**KEYS, **store})
    assert line.startswith(key) and what in line and " -- " in line


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://fsn1.your-objectstorage.com", "fsn1"),
        ("https://fra1.digitaloceanspaces.com/", "fra1"),
        ("https://s3.eu-central-2.wasabisys.com", "eu-central-2"),
        ("https://s3.wasabisys.com", "us-east-1"),
        ("https://s3.us-west-002.backblazeb2.com", "us-west-002"),
        ("https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://ab12.eu.r2.cloudflarestorage.com", "auto"),
        ("https://storage.googleapis.com", "auto"),
        ("https://s3.example.com", ""),
        ("https://[", ""),
    ],
)
def test_a_known_stores_address_says_its_region(endpoint: str, region: str) -> None:
    assert region_of(endpoint) == region


@pytest.mark.parametrize(
    ("store", "more", "key", "remedy"),
    [
        ({**KEYS, "preset": "gcs", "sseCustomerKey": KEY}, {}, "store.sseCustomerKey:", "leave it out"),
        (
            {**KEYS, "endpoint": "http://s3.example.com", "region": "x", "sseCustomerKey": KEY},
            {},
            "store.sseCustomerKey:",
            "https://",
        ),
        (
            {**KEYS, "preset": "r2", "account": "ab"},
            {"mount": {"program": "goofys"}},
            "mount.program: goofys uploads",
            "use rclone",
        ),
        (
            {**KEYS, "endpoint": "https://ab.r2.cloudflarestorage.com", "region": "auto"},
            {"mount": {"program": "goofys"}},
            "mount.program: goofys uploads",
            "use rclone",
        ),
        (AWS, {"copy": {"method": "b2"}}, "copy.method:", "use rclone"),
        ({**KEYS, "endpoint": "https://s3.example.com", "region": "x"}, {"copy": {"method": "b2"}}, "copy.method:", ""),
        ({**AWS, "sseCustomerKey": "short"}, {}, "store.sseCustomerKey: is not 32 bytes", "media-store sse-key"),
        ({**AWS, "sseCustomerKey": "MDEy"}, {}, "store.sseCustomerKey: is not 32 bytes", "media-store sse-key"),
        ({**AWS, "storageClass": "GLACIER"}, {}, "store.storageClass:", "INTELLIGENT_TIERING"),
        ({**AWS, "keyGeneration": 0}, {}, "store.keyGeneration:", "from 1"),
        ({**AWS, "onDestroy": "burn"}, {}, "store.onDestroy:", "retain or delete"),
        ({**AWS, "region": "Frankfurt"}, {}, "store.region:", "aws:region"),
        ({**AWS, "tags": {"a": [1]}}, {}, "store.tags.a:", "names and values"),
        ({**AWS, "accessKeyId": "x"}, {}, "store.accessKeyId: is not a setting", "use one of kind, bucket"),
        ({"kind": "aws", "region": "eu-west-1"}, {}, "store.bucket: is missing", "nobody at AWS"),
        ({**B2, "bucket": "b2-media"}, {}, "store.bucket:", "nobody at B2"),
        ({**B2, "bucket": "with.dots"}, {}, "store.bucket:", "nobody at B2"),
        ({**B2, "sseCustomerKey": KEY}, {}, "store.sseCustomerKey: is not a setting", "use one of"),
        ({"kind": "gcs"}, {}, "store.kind: is not existing, aws or b2", "use existing, aws or b2"),
        ({**KEYS, "preset": "minio", "endpoint": "https://m", "onDestroy": "delete"}, {}, "store.onDestroy:", "never"),
        (GOOD["store"], {"mount": {"program": "s3fs"}}, "mount.program:", "use auto, goofys or rclone"),
    ],
)
def test_what_cannot_work_is_refused_with_its_remedy(
    store: dict[str, Any], more: dict[str, Any], key: str, remedy: str
) -> None:
    (line,) = problems(store, **more)
    assert line.startswith(key)
    assert remedy in line.partition(" -- ")[2]


def test_with_a_customer_key_rclone_mounts_unless_the_stack_says_goofys_which_warns() -> None:
    assert settings(AWS).mount_program == "goofys" and not settings(AWS).warnings
    keyed = settings({**AWS, "sseCustomerKey": KEY})
    assert keyed.mount_program == "rclone" and not keyed.warnings
    chosen = settings({**AWS, "sseCustomerKey": KEY}, mount={"program": "goofys"})
    assert chosen.mount_program == "goofys"
    (warning,) = chosen.warnings
    assert "every user of the server can read the key" in warning and KEY not in warning


def test_rclone_mounts_where_goofys_breaks() -> None:
    assert settings({**KEYS, "preset": "r2", "account": "ab"}).mount_program == "rclone"


def test_awss_region_and_b2s_endpoint_are_the_providers_own_settings() -> None:
    values = config({**GOOD, "store": {"kind": "aws", "bucket": "media"}})
    at_aws = read("p", {**values, "aws:region": "eu-west-1"}, SECRET_KEYS).store
    assert isinstance(at_aws, AwsStore) and at_aws.region == "eu-west-1"
    with pytest.raises(ConfigurationError, match="store.region: is missing -- .*aws:region"):
        read("p", values, SECRET_KEYS)
    with pytest.raises(ConfigurationError, match="store.region: is not a setting for aws -- .*aws:region"):
        read("p", {**config({**GOOD, "store": AWS}), "aws:region": "eu-west-1"}, SECRET_KEYS)
    asked: tuple[tuple[dict[str, str], str], ...] = (
        ({}, ""),
        ({"b2:endpoint": "production"}, ""),
        ({"b2:endpoint": "http://b2.test"}, "http://b2.test"),
    )
    for told, api in asked:
        at_b2 = read("p", {**config({**GOOD, "store": B2}), **told}, SECRET_KEYS).store
        assert isinstance(at_b2, B2Store) and at_b2.api == api


def test_a_customer_key_in_plain_text_is_refused() -> None:
    values = config({**GOOD, "store": {**AWS, "sseCustomerKey": KEY}})
    with pytest.raises(ConfigurationError, match="store.sseCustomerKey: lies in plain text"):
        read("p", values, SECRET_KEYS - {"p:store"})


def test_every_setting_of_every_store_has_a_description_and_a_remedy() -> None:
    for model in STORES.values():
        assert issubclass(model, Section)
        for name, field in model.model_fields.items():
            more = field.json_schema_extra
            assert field.description and isinstance(more, dict) and more["fix"], f"{model.__name__}.{name}"


@pytest.mark.parametrize("kind", ["aws", "b2"])
def test_the_example_stacks_are_complete_but_for_their_secrets(kind: str) -> None:
    document = yaml.safe_load((ROOT / f"stacks/Pulumi.example-{kind}.yaml").read_text())["config"]
    flat = {
        key.replace("matrix-media-store:", "p:"): value if isinstance(value, str) else yaml.safe_dump(value)
        for key, value in document.items()
    }
    values = {key: value if key in ("p:phase", "aws:region") else config({"x": yaml.safe_load(value)})["p:x"]
              for key, value in flat.items()}  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        read("p", values, SECRET_KEYS)
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {"server.privateKey"}


def test_access_logs_that_are_no_bucket_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="store.accessLogs: is no bucket -- give a bucket whose policy"):
        parse({**GOOD, "store": {"kind": "aws", "bucket": "media", "region": "eu-central-1", "accessLogs": "Our Logs"}})


def test_a_bucket_that_is_protected_is_not_to_be_deleted_too() -> None:
    for kind in ({"kind": "aws", "bucket": "media", "region": "eu-central-1"}, {"kind": "b2", "bucket": "our-media"}):
        with pytest.raises(ConfigurationError, match="store.protect: and store.onDestroy: delete do not go together"):
            parse({**GOOD, "store": {**kind, "protect": True, "onDestroy": "delete"}})


def test_numbers_as_the_command_line_stores_them_are_taken_for_texts() -> None:
    store = settings(
        {"kind": "aws", "bucket": "media", "region": "eu-central-1", "prefix": 2026, "tags": {"cost": 4711}}
    ).store
    assert isinstance(store, AwsStore) and (store.prefix, store.tags) == ("2026", {"cost": "4711"})
