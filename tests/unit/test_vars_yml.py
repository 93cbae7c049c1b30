"""A playbook's vars.yml leads to a stack's settings, or to a question; never to a wrong setting."""

from __future__ import annotations

import re

import pytest

from operations import vars_yml
from operations.workspace import OperationError
from sandbox.world import ROOT

from .vars_samples import AWS, EU_WEST, FSN, HEAD, PROVIDER, at


@pytest.mark.parametrize("word", ["true", "True", '"true"', "yes", '"Yes"', "on", "1", '"1"', "'TRUE'"])
def test_what_ansible_takes_for_true_is_true(word: str) -> None:
    found = vars_yml.read(at("https://fsn1.your-objectstorage.com").replace("enabled: true", f"enabled: {word}"))
    assert found.settings.items() >= FSN.items()
    with pytest.raises(OperationError, match="over the media store already"):
        vars_yml.read(f"{AWS}matrix_s3_media_store_enabled: {word}\n")


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
def test_a_mount_over_the_media_store_is_refused_in_one_sentence_with_the_steps_and_their_page(lines: str) -> None:
    with pytest.raises(OperationError) as caught:
        vars_yml.read(f"{AWS}matrix_s3_media_store_enabled: true\n{lines}\n")
    said = str(caught.value)
    steps = ["copy the bucket", "stop the services", "copy once more", "enabled to false", "setup-all", "in the media"]
    assert "\n" not in said and sorted(steps, key=said.index) == steps
    (section,) = re.findall('docs/runbook.md says under "(.+?)"', said)
    assert f"## {section}\n" in (ROOT / "docs/runbook.md").read_text()


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
            'phase live is refused .* take the .* lines out, .* docs/runbook.md .* "synapse-s3-storage-provider"',
        ),
        (PROVIDER.replace("enabled: true", 'enabled: "{{ x }}"'), "made by a template: phase live is refused"),
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
