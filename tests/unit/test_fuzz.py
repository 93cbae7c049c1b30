"""Any configuration at all: settings, or a line that names the key and the remedy; and commands that are data."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from components import settings as stack_settings
from components.host.command import agent_text, last_json
from components.settings import ConfigurationError, Settings, is_secret, parse
from operations import history, questions, rollback, variables, vars_yml
from operations.workspace import OperationError

from .test_settings import GOOD

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
PATHS = some.sampled_from(
    ["phase", "store.bucket", "store.secretAccessKey", "store.keyGeneration", "server.host", "server.privateKey",
     "copy.exclude[0]", "copy.exclude[1]", "host.accessToken", "aws:secretKey", "aws:region"]
)  # fmt: skip
#: Variables of the playbook, and some words that Ansible or a template makes something of.
VARIABLES = some.sampled_from(
    ["matrix_domain", "matrix_base_data_path", "matrix_homeserver_implementation", "postgres_enabled",
     "matrix_synapse_media_store_path", "matrix_synapse_storage_path", "matrix_synapse_workers_enabled",
     "matrix_synapse_container_client_api_host_bind_port", "matrix_synapse_database_host",
     *(f"matrix_s3_media_store_{name}" for name in (
         "enabled", "path", "bucket_name", "aws_access_key", "region", "custom_endpoint_enabled", "custom_endpoint")),
     *(f"matrix_synapse_ext_synapse_s3_storage_provider_{name}" for name in (
         "enabled", "config_bucket", "config_endpoint_url", "config_prefix"))]
)  # fmt: skip
WORDS = some.sampled_from(
    ["true", "no", "synapse", "{{ x }}", "/a/b", "/a", "media", "127.0.0.1:8008", "https://s3.eu-west-1.amazonaws.com",
     "https://[", "https://s3.wasabisys.com", "eu-west-1", "media/"]
)  # fmt: skip
LEAVES = some.dictionaries(PATHS, some.text(max_size=8) | some.integers())


@given(some.dictionaries(some.sampled_from([*GOOD, "copy", "mount", "migration", "host", "x"]), JSON))
@settings(deadline=None)
def test_a_configuration_of_any_shape_is_settings_or_lines_with_a_remedy(values: dict[str, Any]) -> None:
    try:
        assert isinstance(parse({**GOOD, **values}), Settings)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            assert ": " in line and " -- " in line, line


@given(some.dictionaries(TEXT, TEXT, max_size=4))
def test_configuration_values_that_are_no_json_are_told(config: dict[str, Any]) -> None:
    config = {f"matrix-media-store:{key}": value for key, value in config.items()}
    with pytest.raises(ConfigurationError):
        stack_settings.read("matrix-media-store", config, set())


@given(some.dictionaries(VARIABLES, WORDS | JSON, max_size=8))
@settings(deadline=None)
def test_any_vars_yml_leads_to_settings_that_would_be_accepted_or_to_questions(values: dict[str, Any]) -> None:
    base = {"phase": "prepare", "store.kind": "existing"}
    try:
        found = vars_yml.read(json.dumps(values))
    except OperationError as error:
        assert " -- " in str(error)
        return
    for part in (found, found | found.offer[1] if found.offer else found):
        usable = questions.usable(part, base)
        taken = {**usable.settings, **usable.secrets}
        assert not questions.complaints({**taken, **base}).keys() & taken
        assert not any("{{" in value for value in taken.values())
        assert not usable.hidden.keys() & taken


@given(some.text(max_size=60) | TEXT.map(lambda text: f"a: {text}"))
def test_any_text_is_variables_or_a_line(text: str) -> None:
    try:
        assert isinstance(variables.load(text).text("a"), str)
    except OperationError as error:
        assert str(error).startswith("the file ")


@given(some.lists(TEXT, min_size=1, max_size=4), some.sampled_from(["root", "admin", "o'x"]))
def test_any_setting_reaches_the_agent_as_one_word(words: list[str], user: str) -> None:
    assert shlex.split(agent_text(user, "converge", *words), comments=True)[-len(words) :] == words


@given(some.text(max_size=200))
def test_any_output_is_searched_for_a_verdict_without_a_traceback(text: str) -> None:
    assert isinstance(last_json(text), dict)


@given(LEAVES, LEAVES)
def test_a_rollback_keeps_credentials_connection_and_keys_and_takes_all_else(
    now: dict[str, str | int], then: dict[str, str | int]
) -> None:
    wanted = rollback.target(now, then)
    had_a_store = any(path.startswith("store.") for path in then)
    for path in {*now, *then}:
        came_later = path.startswith("store.") and not had_a_store  # the media may lie there
        source = now if rollback.stays(path) or came_later else then
        assert wanted.get(path) == source.get(path)
    assert rollback.stays("server.host") and rollback.stays("store.keyGeneration") and rollback.stays("aws:region")
    assert rollback.stays("shared.mount.cache"), "no single stack takes back what all share"
    assert not rollback.stays("phase") and not rollback.stays("store.bucket")


@given(LEAVES, LEAVES)
def test_a_history_never_shows_a_secret(before: dict[str, str | int], after: dict[str, str | int]) -> None:
    for line in history.changes(before, after):
        path, _, values = line.partition(": ")
        if is_secret(path):
            assert set(values.split(" -> ")) <= {"[secret]", "(not set)"}


@given(some.dictionaries(some.text("abc", min_size=1), JSON, max_size=3))
def test_settings_by_path_are_all_of_them(config: dict[str, Any]) -> None:
    text = json.dumps(config)
    for path, value in history.leaves(config).items():
        assert json.dumps(value) in text and path.partition(".")[0].partition("[")[0] in config


def test_named_settings_come_from_then_although_they_would_stay() -> None:
    now, then = {"server.host": "new", "server.port": 22}, {"server.host": "old", "server.port": 2222}
    assert rollback.target(now, then, ["server.host"]) == {"server.host": "old", "server.port": 22}
    assert rollback.target(now, then, ["server"]) == then


def test_what_was_agreed_to_once_is_not_agreed_to_again_by_a_rollback() -> None:
    now = {"phase": "live"}
    then = {"phase": "clean", "migration.confirmed[0]": "a", "migration.deletionLimitPercent": 100, "store.adopt": True}
    assert rollback.target(now, then) == {"phase": "clean"}


def test_a_rollback_keeps_stores_that_came_later_and_says_which_one_serves() -> None:
    now = {
        "phase": "live",
        "store.bucket": "a",
        "stores.new.bucket": "b",
        "stores.new.keyGeneration": 2,
        "serve": "new",
    }
    then = {"phase": "live", "store.bucket": "a"}
    assert rollback.target(now, then) == {"phase": "live", "store.bucket": "a", "stores.new.bucket": "b",
                                          "stores.new.keyGeneration": 2}  # fmt: skip
    gone = {"phase": "live", "stores.new.bucket": "b", "serve": "new"}
    assert rollback.target(gone, then) == {"phase": "live", "store.bucket": "a", "stores.new.bucket": "b"}
    assert rollback.stays("stores.new.keyGeneration") and not rollback.stays("stores.new.bucket")


def test_what_the_file_holds_encrypted_is_never_shown_nor_written_in_plain_text() -> None:
    file = b"config:\n  matrix-media-store:mount:\n    goofysUrl:\n      secure: v1:x\n    memoryMax: 1G\n"
    secure = history.encrypted(file)
    assert secure == {"mount.goofysUrl"}
    assert history.changes({}, {"mount.goofysUrl": "https://user:token@host"}, secure) == [
        "mount.goofysUrl: (not set) -> [secret]"
    ]
    assert rollback._form("mount.goofysUrl", "x", secure) == ["--secret"]
    assert history.encrypted(b"") == set()
