"""From a playbook's vars.yml, or from answers, to a stack: what is asked, in what order, and what is written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from operations import access, init
from operations.__main__ import main
from operations.workspace import OperationError

from .answering import HOST_KEY, PRIVATE_KEY, Answers, Calls, Made, made, plain, secret
from .vars_samples import AWS, FSN, HEAD, at

__all__ = ["made"]

KEY = "c2VjcmV0IGtleSBvZiBleGFjdGx5IDMyIGJ5dGVzISE="
SSE = AWS + f'matrix_s3_media_store_sse_key: "{KEY}"\n'
HETZNER = at("https://fsn1.your-objectstorage.com")
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNu"
    "G5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
)
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ=="


def test_a_protected_key_is_asked_for_its_password_and_another_port_is_kept(made: Made, tmp_path: Path) -> None:
    key = tmp_path / "protected"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", key], check=True)
    person = Answers(Password="open sesame")
    calls = made(HETZNER, person, private_key=key, port=2222)
    assert person.asked == ["Password of the SSH private key"]
    assert plain(calls)["server.port"] == "2222" and secret(calls)["server.privateKeyPassword"] == "open sesame"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = init.Given("never-there", tmp_path / "vars.yml")
    with pytest.raises(OperationError, match="the playbook's file cannot be read: .*vars.yml"):
        init.init(given, Answers(), lambda line: None)


def test_no_secret_is_an_argument(made: Made) -> None:
    calls = made(SSE)
    words = " ".join(word for arguments, _ in calls for word in arguments)
    assert not any(value in words for value in ("AKID", "SECRET", KEY, "PRIVATE KEY"))
    assert secret(calls)["store.sseCustomerKey"] == KEY


def test_why_something_is_asked_for_is_said(made: Made) -> None:
    said: list[str] = []
    made(AWS.replace("name: media", "name: No_Bucket"), Answers(Name_of_the_bucket="media"), said)
    assert "store.bucket is asked for: what the file says is not a valid bucket name" in said
    made(AWS.replace('"AKID"', '"{{ key }}"'), Answers(Access_key="A"), said)
    assert "store.accessKeyId is asked for: matrix_s3_media_store_aws_access_key: made by a template" in said


def test_without_a_file_everything_is_asked_secrets_last_and_an_empty_address_means_aws(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "typed").write_text(PRIVATE_KEY)
    person = Answers(
        Name_or="m.example.org", Region="eu-central-1", Name_of_the_bucket="media-1", Access_key="A", Secret="S",
        File_with=str(tmp_path / "typed"),
    )  # fmt: skip
    settings = plain(made(None, person, private_key=None))
    assert settings["store.preset"] == "aws" and "store.endpoint" not in settings
    assert settings["host.homeserverUrl"] == "https://m.example.org"
    assert person.asked == [
        "Name or address of the server",
        "File with the SSH private key",
        "Bucket: existing, or one that the stack makes at aws or b2",
        "Address of the S3 service (for AWS leave it empty)",
        "Region of the bucket",
        "Name of the bucket",
        "Where the homeserver answers, seen from the server",
        "Access key id",
        "Secret access key",
    ]


def test_the_address_of_a_known_store_answers_for_its_region(made: Made) -> None:
    person = Answers(Address=FSN["store.endpoint"], Name_of="media", Access_key="A", Secret="S")
    assert plain(made(HEAD, person)).items() >= FSN.items()
    assert "Region of the bucket" not in person.asked


@pytest.mark.parametrize(
    ("question", "answers", "path", "complaint"),
    [
        ("Name of the bucket", ["No_Bucket", "", "media"], "store.bucket", "is not a valid bucket name"),
        ("Address of the S3", ["s3.example.com", "https://s3.example.com"], "store.endpoint", "is not an address like"),
        ("Region of the bucket", ["", "here"], "store.region", "is missing"),
        ("Where the homeserver", ["8008", "http://127.0.0.1:8008"], "host.homeserverUrl", "is not an address like"),
    ],
)
def test_a_bad_answer_is_told_and_asked_for_again(
    made: Made, question: str, answers: list[str], path: str, complaint: str
) -> None:
    said: list[str] = []
    usual: dict[str, str | list[str]] = {
        "Address of the S3": "https://s3.example.com", "Region of the bucket": "here", "Name of the bucket": "media",
        "Access key": "A", "Secret": "S",
    }  # fmt: skip
    text = f"{HEAD}matrix_synapse_container_client_api_host_bind_port: none\n"
    settings = plain(made(text, Answers(**{**usual, question: answers}), said))
    assert settings[path] == answers[-1]
    assert sum(line.startswith(f"{path}: {complaint}") for line in said) == len(answers) - 1


def test_answers_that_end_end_it_without_a_loop(made: Made) -> None:
    calls: Calls = []
    with pytest.raises(OperationError, match="no answer; nothing was written"):
        calls = made(HEAD, Answers(Region="eu-west-1", Name_of_the_bucket=["No_Bucket"]))
    assert calls == []


def test_piped_answers_that_end_end_it_without_a_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(question: str) -> str:
        raise EOFError

    monkeypatch.setattr(init, "pulumi", lambda *arguments: "")
    monkeypatch.setattr("builtins.input", end)
    assert main(["init", "--stack", "never-there", "--host", "m.example.org", "--host-key", HOST_KEY]) == 2
    assert "no answer; nothing was written -- answer each question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"host_key": RSA}, "server.hostKey: is not a public host key -- take it from"),
        ({"port": 70000}, "server.port: .* -- give a port from"),
        ({"user": "a b"}, "server.user: is not a user's name -- "),
        ({"host": "https://m.example.org"}, "server.host: is not a name or address -- "),
        ({"private_key": Path(__file__)}, "server.privateKey: is not an SSH private key -- "),
        ({"private_key": Path("/bin/sh")}, "the SSH private key cannot be read: "),
        ({"private_key": Path("~nobody-there/key")}, "the SSH private key cannot be read: "),
    ],
)
def test_an_option_that_would_not_be_accepted_is_told_before_anything_is_asked(
    made: Made, more: dict[str, Any], words: str
) -> None:
    person = Answers()
    with pytest.raises(OperationError, match=words):
        made(None, person, **more)
    assert person.asked == []


def test_a_key_protected_in_a_way_that_cannot_be_opened_is_told_before_its_password_is_asked(
    made: Made, tmp_path: Path
) -> None:
    key = tmp_path / "protected"
    protect = ["ssh-keygen", "-q", "-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com", "-N", "open", "-f", str(key)]
    subprocess.run(protect, check=True)
    with pytest.raises(OperationError, match="is protected with chacha20.* -- .*ssh-keygen -p -Z aes256-ctr"):
        made(AWS, Answers(), private_key=key)


def test_a_key_file_that_is_none_is_asked_for_again(made: Made, tmp_path: Path) -> None:
    (tmp_path / "good").write_text(PRIVATE_KEY)
    said: list[str] = []
    files = [str(tmp_path / "not-there"), str(__file__), str(tmp_path / "good")]
    assert secret(made(AWS, Answers(File_with=files), said, private_key=None))["server.privateKey"] == PRIVATE_KEY
    assert [line.partition(":")[0] for line in said[:2]] == ["the SSH private key cannot be read", "server.privateKey"]


def test_what_cannot_go_together_is_told_before_a_secret_is_asked(made: Made) -> None:
    text = at("http://minio.example.com", "x") + f"matrix_s3_media_store_sse_key: {KEY}\n"
    person = Answers()
    with pytest.raises(OperationError, match="nothing was written:\nstore.sseCustomerKey: would travel in plain text"):
        made(text.replace("AKID", "{{ key }}"), person)
    assert person.asked == []


def test_a_stack_that_is_there_is_left_alone() -> None:
    with pytest.raises(OperationError, match="is there already"):
        init.init(init.Given("example-aws"), Answers(), lambda line: None)


def test_what_the_engine_refuses_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def refuse(*arguments: str) -> None:
        calls.append(arguments)
        raise OperationError("passphrase must be set")

    monkeypatch.setattr(init, "pulumi", refuse)
    person = Answers()
    with pytest.raises(OperationError, match="passphrase must be set"):
        init.init(init.Given("never-there"), person, lambda line: None)
    assert person.asked == [] and calls == [("stack", "init", "never-there", "--no-select")]


def test_the_stack_that_was_tried_out_is_gone_before_the_first_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(init, "pulumi", lambda *arguments: calls.append(arguments))
    with pytest.raises(OperationError, match="no answer"):
        init.init(init.Given("never-there"), Answers(Name_or=[]), lambda line: None)
    assert [arguments[:2] for arguments in calls] == [("stack", "init"), ("stack", "rm")]


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
        init._write(init.Given("prod"), {"phase": "prepare"}, {"store.accessKeyId": "A"})
    assert calls[-1] == ("stack", "rm", "--yes", "prod")


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes servers show host keys: lists of keys by name."""
    run = subprocess.run

    def make(**keys: list[str]) -> None:
        def scan(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
            if command[0] != "ssh-keyscan":
                return run(command, **more)
            lines = [f"{command[-1]} {key}" for key in keys.get(command[-1], [])]
            return subprocess.CompletedProcess(command, 0, "\n".join(["# a comment", *lines]), "")

        monkeypatch.setattr(subprocess, "run", scan)

    return make


@pytest.mark.parametrize(
    ("keys", "taken"), [([ECDSA, HOST_KEY], HOST_KEY), ([RSA, ECDSA], ECDSA)], ids=["ed25519", "ecdsa"]
)
def test_the_best_host_key_is_shown_and_counts_only_when_a_person_said_so(
    made: Made, shows: Callable[..., None], keys: list[str], taken: str
) -> None:
    shows(m=keys)
    said: list[str] = []
    settings = plain(made(AWS, Answers(Is_it="yes"), said, host="m", host_key=""))
    assert settings["server.hostKey"] == taken
    assert "SHA256:" in said[-3] and f"ssh_host_{'ed25519' if taken == HOST_KEY else 'ecdsa'}_key.pub" in said[-2]
    with pytest.raises(OperationError, match="not confirmed"):
        made(AWS, Answers(Is_it="no"), host="m", host_key="")


def test_a_server_with_an_rsa_key_alone_is_told_what_to_do(made: Made, shows: Callable[..., None]) -> None:
    shows(m=[RSA])
    with pytest.raises(
        OperationError, match="m shows a host key of type RSA alone.* -- .*ssh-keygen -A.* restart sshd"
    ):
        made(AWS, host="m", host_key="")


def test_a_name_that_was_typed_and_shows_no_host_key_is_asked_for_again(made: Made, shows: Callable[..., None]) -> None:
    shows(m=[HOST_KEY])
    said: list[str] = []
    person = Answers(Name_or=["n", "m"], Is_it="yes")
    assert plain(made(AWS.replace(HEAD, ""), person, said, host_key=""))["server.host"] == "m"
    assert any(line.startswith("n shows no SSH host key -- is its name right") for line in said)
    with pytest.raises(OperationError, match="n shows no SSH host key"):
        access.find({"server.host": "n"}, None, Answers(), said.append)


def test_with_the_ssh_agent_no_key_is_asked_for_or_stored(made: Made) -> None:
    person = Answers()
    calls = made(HETZNER, person, private_key=None, use_agent=True)
    assert not any("key" in question for question in person.asked)
    assert plain(calls)["server.useAgent"] == "true" and "server.privateKey" not in secret(calls)
    with pytest.raises(OperationError, match="--use-agent .* --private-key .* -- leave one of them out"):
        made(HETZNER, Answers(), use_agent=True)


def test_further_settings_are_given_and_those_that_would_not_be_accepted_or_are_secret_are_refused(made: Made) -> None:
    more = ("mount.cache=20G", "host.services[0]=synapse.service", "server.statusKeys[0]=" + HOST_KEY)
    settings = plain(made(HETZNER, more=more))
    assert settings["mount.cache"] == "20G" and settings["host.services[0]"] == "synapse.service"
    for text, words in (
        ("mount.cache=much", "mount.cache: "),
        ("mount.cashe=20G", "is a secret or no setting"),
        ("store.secretAccessKey=SECRET", "is a secret"),
        ("mount.cache", "has no value -- say it as"),
        ("host.services[0]=/etc/passwd", "host.services.0: "),
        ("host.services[3]=synapse.service", "no such place"),
        ("server.host.name=x", "no such place"),
    ):
        with pytest.raises(OperationError) as refused:
            made(HETZNER, more=(text,))
        assert words in str(refused.value) and "SECRET" not in str(refused.value)
