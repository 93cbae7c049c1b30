"""A playbook's vars.yml leads to a stack's settings, or to a question; never to a wrong setting."""

from __future__ import annotations

import base64
import re

import pytest

from operations import vars_yml
from operations.workspace import OperationError
from sandbox.world import ROOT

from .answering import PRIVATE_KEY, Answers, Made, made, plain, secret
from .vars_samples import AWS, EU_WEST, FSN, HEAD, PROVIDER, SAMPLES, SETTINGS, Sample, at

__all__ = ["made"]

BASE64_KEY = "c2VjcmV0IGtleSBvZiBleGFjdGx5IDMyIGJ5dGVzISE="
PREFIX = "matrix_synapse_ext_synapse_s3_storage_provider_config_prefix"


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_a_vars_yml_leads_to_its_settings_with_one_question_at_most(made: Made, sample: Sample) -> None:
    person = Answers(**{sample.asked: sample.answer} if sample.asked else {})
    calls = made(sample.text, person)
    assert person.asked == ([sample.asked] if sample.asked else [])
    assert plain(calls) == {**SETTINGS, **sample.wanted}
    names = ("store.accessKeyId", "store.secretAccessKey")
    assert secret(calls) == {**dict(zip(names, sample.keys, strict=True)), "server.privateKey": PRIVATE_KEY}


@pytest.mark.parametrize("word", ["true", "True", '"true"', "yes", '"Yes"', "on", "1", '"1"', "'TRUE'"])
def test_what_ansible_takes_for_true_is_true(word: str) -> None:
    found = vars_yml.read(at("https://fsn1.your-objectstorage.com").replace("enabled: true", f"enabled: {word}"))
    assert found.settings.items() >= FSN.items()
    assert vars_yml.read(f"{AWS}matrix_s3_media_store_enabled: {word}\n").settings["host.adoptMount"] == "true"


@pytest.mark.parametrize("word", ["false", '"false"', "'False'", "no", '"no"', "off", "0", '"0"', "", "~", '""'])
def test_what_ansible_takes_for_false_is_false(word: str) -> None:
    text = f"{AWS}matrix_s3_media_store_custom_endpoint_enabled: {word}\nmatrix_s3_media_store_enabled: {word}\n"
    assert vars_yml.read(text).settings.items() >= EU_WEST.items()


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "matrix_s3_media_store_path: /matrix/synapse/storage/media-store/",
        "matrix_base_data_path: /srv\nmatrix_s3_media_store_path: /srv/synapse/storage/media-store",
        "matrix_synapse_media_store_path: /mnt/media\nmatrix_s3_media_store_path: /mnt/media",
    ],
)
def test_a_mount_over_the_media_store_is_taken_over_and_what_to_do_with_its_lines_is_said(lines: str) -> None:
    found = vars_yml.read(f"{AWS}matrix_s3_media_store_enabled: true\n{lines}\n")
    assert found.settings.items() >= {**EU_WEST, "phase": "clean", "host.adoptMount": "true"}.items()
    (note,) = found.notes
    assert "take the matrix_s3_media_store_* lines out of vars.yml" in note and "before the playbook runs again" in note
    (section,) = re.findall('see "(.+?)" in docs/runbook.md', note)
    assert f"## {section}\n" in (ROOT / "docs/runbook.md").read_text()


def test_a_customers_key_that_the_playbooks_mount_does_not_use_is_left_out_by_name() -> None:
    text = f"{AWS}matrix_s3_media_store_sse_key: {'A' * 43}=\n"
    assert "store.sseCustomerKey" in vars_yml.read(text).secrets
    found = vars_yml.read(f"{text}matrix_s3_media_store_enabled: true\n")
    assert "store.sseCustomerKey" not in found.secrets and "sse_key is left out" in found.notes[-1]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("matrix_s3_media_store_enabled: true\nmatrix_s3_media_store_path: /matrix/s3-media-store", "/matrix/s3-media"),
        ('matrix_s3_media_store_enabled: "{{ x }}"', "must not mount a bucket over the media store"),
        ('matrix_s3_media_store_enabled: true\nmatrix_s3_media_store_path: "{{ x }}"', "must not over the media store"),
        ('matrix_homeserver_implementation: "{{ x }}"', "only Synapse"),
        (
            "postgres_enabled: false\nmatrix_synapse_database_host: db.example.com",
            "your own at db.example.com: .*purged",
        ),
        ('matrix_postgres_enabled: "no"', "of your own: .* nothing counts as purged, until host.database names"),
        ("matrix_synapse_database_host: 10.0.0.9", 'your own at 10.0.0.9: .* "A database elsewhere"'),
        ("matrix_synapse_database_database: matrix", 'is called matrix, and not synapse: .* "A database elsewhere"'),
        (
            PROVIDER,
            'keeps it off .*; for another bucket phase live is refused until .*"synapse-s3-storage-provider"',
        ),
        (PROVIDER.replace("enabled: true", 'enabled: "{{ x }}"'), "made by a template: the nightly job"),
    ],
)
def test_what_the_stack_cannot_say_is_a_note(lines: str, words: str) -> None:
    (note,) = vars_yml.read(f"{AWS}{lines}\n").notes
    assert re.search(words, note), note
    for section in re.findall('"(.+?)"', note):
        assert f"## {section}\n" in (ROOT / "docs/runbook.md").read_text()


def test_a_database_that_cannot_be_asked_is_not_named() -> None:
    text = f"{AWS}matrix_base_data_path: /srv\npostgres_enabled: false\nmatrix_synapse_database_host: db\n"
    assert "host.database" not in vars_yml.read(text).settings


def test_where_the_address_wins_over_the_region_a_note_says_so() -> None:
    (note,) = vars_yml.read(at("https://fra1.digitaloceanspaces.com", "us-east-1")).notes
    assert "region says us-east-1" in note and "belongs to fra1" in note


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (f"{PREFIX}: media/", {"store.prefix": "media"}),
        (f"{PREFIX}: ''", {}),
        (
            f"{PREFIX.replace('prefix', 'sse_customer_enabled')}: true\n"
            f"{PREFIX.replace('prefix', 'sse_customer_key')}: secret key of exactly 32 bytes!!",
            {"store.sseCustomerKey": BASE64_KEY},
        ),
        (f"{PREFIX.replace('prefix', 'sse_customer_key')}: secret key of exactly 32 bytes!!", {}),
    ],
)
def test_the_providers_prefix_and_key_go_with_its_bucket(made: Made, lines: str, wanted: dict[str, str]) -> None:
    assert base64.b64decode(BASE64_KEY) == b"secret key of exactly 32 bytes!!"
    calls = made(f"{HEAD}{PROVIDER}{lines}\n", Answers(Shall_the="yes"))
    found = {**plain(calls), **secret(calls)}
    assert {path: found[path] for path in ("store.prefix", "store.sseCustomerKey") if path in found} == wanted
    assert found["host.storageProvider"] == "from", "it is taken over"


def test_a_prefix_that_is_no_folder_is_asked_for(made: Made) -> None:
    person = Answers(Shall_the="yes", Folder_in="")
    calls = made(f"{HEAD}{PROVIDER}{PREFIX}: media\n", person)
    assert person.asked[1:] == ["Folder in the bucket for the media (for the whole bucket leave it empty)"]
    assert "store.prefix" not in plain(calls)


def test_a_providers_bucket_that_is_not_wanted_leaves_all_to_be_asked(made: Made) -> None:
    person = Answers(Shall_the="no", Region="eu-west-1", Name_of_the="own-bucket", Access_key="A", Secret_access="S")
    calls = made(HEAD + PROVIDER, person)
    assert plain(calls)["store.bucket"] == "own-bucket" and secret(calls)["store.accessKeyId"] == "A"
    assert "host.storageProvider" not in plain(calls)
    assert "provided" not in str(calls) and "PSECRET" not in str(calls)


def test_what_vault_or_a_template_hides_is_named() -> None:
    text = AWS.replace("SECRET", "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132\n").replace('"AKID"', '"{{ key }}"')
    assert vars_yml.read(text).hidden == {
        "store.accessKeyId": "matrix_s3_media_store_aws_access_key: made by a template",
        "store.secretAccessKey": "matrix_s3_media_store_aws_secret_key: encrypted with Ansible Vault",
    }


def test_a_base_that_a_template_makes_hides_what_lies_below() -> None:
    found = vars_yml.read(AWS + 'matrix_base_data_path: "{{ x }}"\n')
    assert set(found.hidden) == {"host.mediaStore", "host.database"} == set(found.hidden) - set(found.settings)


def test_no_secret_is_in_a_repr() -> None:
    assert "SECRET" not in repr(vars_yml.read(AWS)) and "PSECRET" not in repr(vars_yml.read(HEAD + PROVIDER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD.replace("synapse", "dendrite"), "the homeserver is dendrite.*only Synapse.* -- "),
        ("$ANSIBLE_VAULT;1.1;AES256\n3132", "encrypted as a whole -- "),
        ("a: [", "no YAML .line"),
        ("a: !!int b", "no YAML"),
        ("- a", "no variables"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(OperationError, match=words):
        vars_yml.read(text)
