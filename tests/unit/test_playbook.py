"""The lines for vars.yml, read as the playbook would read them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from pulumi import automation

from components import playbook
from operations import playbook_vars
from operations.workspace import OperationError

#: As far as the lines need a stack.
PROD = cast(automation.Stack, SimpleNamespace(name="prod"))
AWS = "https://s3.eu-central-1.amazonaws.com"


def read(values: dict[str, str | bool]) -> dict[str, object]:
    return dict(yaml.safe_load(playbook.lines(values)))


def test_a_bucket_with_an_endpoint_of_its_own() -> None:
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
def test_the_endpoint_is_left_out_where_the_playbooks_own_storage_class_is_wanted(
    endpoint: str, storage_class: str, named: bool
) -> None:
    found = read(playbook.variables(endpoint, "eu-central-1", "media", storage_class))
    assert ("matrix_s3_media_store_custom_endpoint" in found) == named


def test_keys_are_strings_whatever_they_look_like() -> None:
    assert read(playbook.keys("0123", 'a: "b" #\\c')) == {
        "matrix_s3_media_store_aws_access_key": "0123",
        "matrix_s3_media_store_aws_secret_key": 'a: "b" #\\c',
    }


def test_what_looks_like_a_template_is_told_to_be_none() -> None:
    for secret in ("a{{b}}", "a{%b", "a{#b"):
        assert playbook.lines(playbook.keys("k", secret)).endswith(f'_secret_key: !unsafe "{secret}"')


def outputs(monkeypatch: pytest.MonkeyPatch, managed_by: str) -> None:
    """The stack's, as the engine would print them."""
    known = {"phase": "live"}
    if managed_by == "playbook":
        known["playbookVars"] = playbook.lines(playbook.variables("https://s3.example.com", "us-1", "media", ""))
        known["playbookKeys"] = playbook.lines(playbook.keys("k", "s"))
    monkeypatch.setattr(playbook_vars, "pulumi", lambda *arguments: json.dumps(known))


def test_the_lines_come_with_the_keys_once_the_stack_lets_the_playbook_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs(monkeypatch, "playbook")
    found = yaml.safe_load(playbook_vars.lines(PROD))
    assert len(found) == 7 and found["matrix_s3_media_store_aws_secret_key"] == "s"


def test_before_that_they_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs(monkeypatch, "stack")
    with pytest.raises(OperationError, match="would cover a local media store.* -- pulumi config set --path mount.man"):
        playbook_vars.lines(PROD)


def test_a_stack_that_was_never_up_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbook_vars, "pulumi", lambda *arguments: "{}")
    with pytest.raises(OperationError, match="run pulumi up"):
        playbook_vars.lines(PROD)
