"""The lines for vars.yml, read as the playbook would read them."""

from __future__ import annotations

import pytest
import yaml

from components import playbook

AWS = "https://s3.eu-central-1.amazonaws.com"


def read(values: dict[str, str | bool]) -> dict[str, object]:
    return dict(yaml.safe_load(playbook.lines(values)))


def test_a_bucket_with_an_endpoint_of_its_own():
    assert read(playbook.variables("https://s3.example.com", "us-1", "media", "")) == {
        "matrix_s3_media_store_enabled": True,
        "matrix_s3_media_store_bucket_name": "media",
        "matrix_s3_media_store_region": "us-1",
        "matrix_s3_media_store_custom_endpoint_enabled": True,
        "matrix_s3_media_store_custom_endpoint": "https://s3.example.com",
    }


@pytest.mark.parametrize(
    ("endpoint", "storage_class", "named"),
    [
        (AWS, "STANDARD_IA", False),
        (AWS, "STANDARD", True),
        ("https://s3.dualstack.eu-central-1.amazonaws.com", "STANDARD_IA", True),
        ("https://s3.example.com", "STANDARD_IA", True),
    ],
)
def test_the_endpoint_is_left_out_where_the_playbooks_own_storage_class_is_wanted(endpoint, storage_class, named):
    found = read(playbook.variables(endpoint, "eu-central-1", "media", storage_class))
    assert ("matrix_s3_media_store_custom_endpoint" in found) == named


def test_keys_are_strings_whatever_they_look_like():
    assert read(playbook.keys("0123", 'a: "b" #\\c')) == {
        "matrix_s3_media_store_aws_access_key": "0123",
        "matrix_s3_media_store_aws_secret_key": 'a: "b" #\\c',
    }


def test_what_looks_like_a_template_is_told_to_be_none():
    for secret in ("a{{b}}", "a{%b", "a{#b"):
        assert playbook.lines(playbook.keys("k", secret)).endswith(f'_secret_key: !unsafe "{secret}"')
