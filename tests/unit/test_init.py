"""From a playbook's vars.yml to a stack."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from operations import init, vars_yml
from operations.workspace import ROOT, OperationError

HEAD = "matrix_domain: example.com\nmatrix_homeserver_implementation: synapse\n"
AWS = (
    HEAD
    + """
matrix_s3_media_store_enabled: false
matrix_s3_media_store_bucket_name: "media-of-example"
matrix_s3_media_store_aws_access_key: "AKID"
matrix_s3_media_store_aws_secret_key: "SECRET"
matrix_s3_media_store_region: "eu-west-1"
"""
)
CUSTOM = (
    AWS.replace("eu-west-1", "fsn1")
    + """
matrix_s3_media_store_custom_endpoint_enabled: true
matrix_s3_media_store_custom_endpoint: "https://fsn1.your-objectstorage.com"
"""
)
B2 = (
    AWS.replace('matrix_s3_media_store_region: "eu-west-1"\n', "")
    + """
matrix_s3_media_store_custom_endpoint_enabled: true
matrix_s3_media_store_custom_endpoint: "https://s3.us-west-002.backblazeb2.com"
"""
)
KEY = "c2VjcmV0IGtleSBvZiBleGFjdGx5IDMyIGJ5dGVzISE="
SSE = AWS + f'matrix_s3_media_store_sse_key: "{KEY}"\n'
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPq2Jg0XoBhBf1xEJ3Zs4xQyYJvWv1kWcQJ0m1jVb1aB"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"
#: What pulumi was told: arguments, and the value on standard input.
Calls = list[tuple[tuple[str, ...], str]]
Made = Callable[..., Calls]


class Answers:
    """A person who answers as told, and whose questions are kept."""

    def __init__(self, **answers: str) -> None:
        self.answers = {name.replace("_", " "): answer for name, answer in answers.items()}
        self.asked: list[str] = []

    def ask(self, question: str, default: str = "") -> str:
        self.asked.append(question)
        return next((answer for words, answer in self.answers.items() if words in question), default)

    def ask_secret(self, question: str) -> str:
        return self.ask(question)

    def agrees(self, question: str) -> bool:
        return self.ask(question) == "yes"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Runs `init` on a text, and gives what pulumi was told: arguments, with the value on standard input."""
    calls: Calls = []
    monkeypatch.setattr(init, "pulumi", lambda *arguments, value="": calls.append((arguments, value)))
    monkeypatch.setattr(init, "config_file", lambda name: ROOT / "stacks" / "never-there.yaml")
    key = tmp_path / "key"
    key.write_text(PRIVATE_KEY)

    def run(text: str, person: Answers | None = None, **more: Any) -> Calls:
        file = tmp_path / "vars.yml"
        file.write_text(text)
        given = init.Given("prod", file, **{"private_key": key, "host_key": HOST_KEY, **more})
        init.init(given, person or Answers(), lambda line: None)
        return calls

    return run


def plain(calls: Calls) -> dict[str, str]:
    (arguments,) = [arguments for arguments, _ in calls if "set-all" in arguments]
    return dict(pair.split("=", 1) for pair in arguments if "=" in pair)


def secret(calls: Calls) -> dict[str, str]:
    return {arguments[4]: value for arguments, value in calls if "--secret" in arguments}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (AWS, {"store.preset": "aws", "store.region": "eu-west-1"}),
        (CUSTOM, {"store.endpoint": "https://fsn1.your-objectstorage.com", "store.region": "fsn1"}),
        (B2, {"store.endpoint": "https://s3.us-west-002.backblazeb2.com", "store.region": "us-west-002"}),
        (SSE, {"store.preset": "aws", "store.region": "eu-west-1"}),
    ],
    ids=["AWS", "custom endpoint", "B2", "SSE-C"],
)
def test_each_kind_of_vars_yml_becomes_a_stack_without_a_question(
    made: Made, text: str, wanted: dict[str, str]
) -> None:
    person = Answers()
    calls = made(text, person)
    assert person.asked == []
    settings = plain(calls)
    assert settings.items() >= wanted.items()
    assert settings["server.host"] == "matrix.example.com" and settings["store.bucket"] == "media-of-example"
    assert settings["host.homeserverUrl"] == "https://matrix.example.com"
    assert settings["host.mediaStore"] == "/matrix/synapse/storage/media-store"
    wanted_secrets = {"store.accessKeyId": "AKID", "store.secretAccessKey": "SECRET", "server.privateKey": PRIVATE_KEY}
    if text == SSE:
        wanted_secrets["store.sseCustomerKey"] = KEY
    assert secret(calls) == wanted_secrets


def test_a_protected_key_is_asked_for_its_password_and_another_port_is_kept(made: Made, tmp_path: Path) -> None:
    key = tmp_path / "protected"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", key], check=True)
    person = Answers(Password="open sesame")
    calls = made(CUSTOM, person, private_key=key, port=2222)
    assert person.asked == ["Password of the SSH private key"]
    assert plain(calls)["server.port"] == "2222" and secret(calls)["server.privateKeyPassword"] == "open sesame"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = init.Given("never-there", tmp_path / "vars.yml")
    with pytest.raises(OperationError, match="the playbook's file cannot be read: .*vars.yml"):
        init.init(given, Answers(), lambda line: None)


def test_no_secret_is_an_argument_or_in_a_repr(made: Made) -> None:
    calls = made(SSE)
    words = " ".join(word for arguments, _ in calls for word in arguments)
    assert not any(value in words for value in ("AKID", "SECRET", KEY, "PRIVATE KEY"))
    assert "SECRET" not in repr(vars_yml.read(SSE))


def test_what_vault_or_a_template_hides_is_named_and_asked_for(made: Made) -> None:
    text = AWS.replace('"SECRET"', "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132\n").replace(
        '"AKID"', "\"{{ lookup('env', 'KEY') }}\""
    )
    person = Answers(Secret_access_key="typed", Access_key_id="also typed")
    calls = made(text, person)
    assert person.asked == ["Access key id", "Secret access key"]
    assert secret(calls)["store.secretAccessKey"] == "typed" and secret(calls)["store.accessKeyId"] == "also typed"
    assert vars_yml.read(text).hidden == {
        "store.accessKeyId": "matrix_s3_media_store_aws_access_key: made by a template",
        "store.secretAccessKey": "matrix_s3_media_store_aws_secret_key: encrypted with Ansible Vault",
    }


def test_paths_that_were_moved_are_followed() -> None:
    text = HEAD + "matrix_base_data_path: /srv/matrix\n"
    assert vars_yml.read(text).settings["host.mediaStore"] == "/srv/matrix/synapse/storage/media-store"
    text = HEAD + "matrix_synapse_storage_path: /big/disk\nmatrix_server_fqn_matrix: m.example.com\n"
    found = vars_yml.read(text).settings
    assert found["host.mediaStore"] == "/big/disk/media-store" and found["server.host"] == "m.example.com"
    assert "host.mediaStore" not in vars_yml.read(HEAD + 'matrix_base_data_path: "{{ x }}"\n').settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD.replace("synapse", "dendrite"), "the homeserver is dendrite.*only Synapse.* -- "),
        (AWS.replace("enabled: false", "enabled: true"), "mounts the bucket over the media store already"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3132", "encrypted as a whole -- "),
        ("a: [", "no YAML .line"),
        ("- a", "no variables"),
        (AWS.replace("media-of-example", "No_Bucket"), "store.bucket: is not a valid bucket name -- "),
        (SSE.replace(KEY, "short"), "store.sseCustomerKey: is not 32 bytes"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason_and_nothing_is_written(made: Made, text: str, words: str) -> None:
    calls: Calls = []
    with pytest.raises(OperationError, match=words):
        calls = made(text)
    assert calls == []


def test_a_bucket_that_the_playbook_mounts_elsewhere_is_a_note() -> None:
    text = AWS.replace("enabled: false", "enabled: true\nmatrix_s3_media_store_path: /matrix/s3-media-store")
    (note,) = vars_yml.read(text).notes
    assert "/matrix/s3-media-store too" in note


def test_without_a_file_everything_is_asked_and_an_empty_address_means_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: Calls = []
    monkeypatch.setattr(init, "pulumi", lambda *arguments, value="": calls.append((arguments, value)))
    key = tmp_path / "key"
    key.write_text(PRIVATE_KEY)
    person = Answers(
        Name_or="m.example.org", Region="eu-central-1", Name_of_the_bucket="media-1", Access_key="A", Secret="S",
        File_with=str(key),
    )  # fmt: skip
    init.init(init.Given("fresh-one", host_key=HOST_KEY), person, lambda line: None)
    settings = plain(calls)
    assert settings["store.preset"] == "aws" and "store.endpoint" not in settings
    assert settings["host.homeserverUrl"] == "https://m.example.org"


def test_a_stack_that_is_there_is_left_alone() -> None:
    with pytest.raises(OperationError, match="is there already"):
        init.init(init.Given("example-aws"), Answers(), lambda line: None)


@pytest.mark.parametrize("problem", [OperationError("passphrase must be set"), KeyboardInterrupt("Ctrl-C")])
def test_where_a_secret_cannot_be_set_no_half_of_a_stack_stays(
    monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    calls = []

    def pulumi(*arguments: str, value: str = "") -> None:
        calls.append(arguments)
        if "--secret" in arguments:
            raise problem

    monkeypatch.setattr(init, "pulumi", pulumi)
    with pytest.raises(type(problem), match=str(problem)):
        init._write("prod", {"phase": "prepare"}, {"store.accessKeyId": "A"})
    assert calls[-1] == ("stack", "rm", "--yes", "prod")


def test_a_host_key_counts_only_when_a_person_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        stdout = f"# comment\nm.example.org {HOST_KEY}\n"

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: Done())
    assert init._host_key("m.example.org", 22, Answers(Is_it="yes"), lambda line: None) == HOST_KEY
    with pytest.raises(OperationError, match="not confirmed"):
        init._host_key("m.example.org", 22, Answers(), lambda line: None)
