"""A wrong configuration is told at once, by key, with the remedy."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.settings import ConfigurationError, Settings, is_secret, parse, read

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP+v+vLzkitswSTbYJG+0NsKERYais1wbZIFA7M5SdRJ"
#: Made by `ssh-keygen -N word` for this test; opens nothing.
PROTECTED = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCe42CxAF
OWyLN/LHbEZ5ikAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIOd26F/V9r0HFw6m
9ThV8xR3ceUmvboKhkaF+jWzivP7AAAAkDkGOCTI39pqhj9GExCm5NVWLrP4Rlqp7QqR4t
1WcmqpskIdBOX9ehEe2MZmXSvxCGofhqcYQviEqXQdC3YRoSCJqcoEG8oR/lm9/XaYSYHG
umF72dtKop75PunmkpfP8iQQiRxx3HzXP83ORmfWzuPgowkR5fqYG5+Y7HEt5+G0TDZSn4
BVCZ3ok6y9ecTyZw==
-----END OPENSSH PRIVATE KEY-----
"""
GCM = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAAFmFlczI1Ni1nY21Ab3BlbnNzaC5jb20AAAAGYmNyeXB0AA
AAGAAAABBbqPuZlHFBaX6iFZkVrlQeAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAA
IJSvWywsbXuC2KItCQXWnRvzk1Yed0log05VFbWBgnHnAAAAkObg30Hryu8Nl1jJ4Ca7Oa
AhHkTmCf4c4/56P+qpI7vmV9Oks40GgkXhLIADnnr/vjLvcCAvtOQfYSJPV7qjKuU8vpCA
nnRfJixoHH/w+iQYveFfACbuKXNpZC9u7ZOqeCitslK4nXyDtlXcW5SiVwK3DkmfNf3py7
Bpj98voRpYJKxGl4vadlmoGlJf3GonVGmQptUvio7Ij1ogaGGrK8s=
-----END OPENSSH PRIVATE KEY-----
"""
RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC01rI7xnx+wkL3NszeWmRdsYsUFeDe9+RN9aEqe/6K0uLmrW2qyinyIAtyqjE2"
    "guyDkBXyA752O6J90Ft2Q1YO9c9CS8BCiS7Y5O00VnC1Jb3RB/nWb0ABbHrVjejK7YmOFAssroeDccbu7iglvCOwjj8cWRizDXM/"
    "3sUhzkO7qUlRfwlxTtCp764tuwM6ww7pHiQUjPCJSgvM32jVXobunFDKNREMv4Kjanu+rMPNJUsSFnLljJw4pS6mh4DQLCIBs6EB"
    "bSL+rydgJWN4YqFY1aOc+xoZ/1paYKqhTrD9xGO4ZwEgd9cIoX9tAq9cz2A9zUEEtJniT6p10Xa0v/nF"
)
GOOD: dict[str, Any] = {
    "server": {
        "host": "matrix.example.com",
        "hostKey": HOST_KEY,
        "privateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n-----END OPENSSH PRIVATE KEY-----\n",
    },
    "store": {
        "endpoint": "https://s3.example.com",
        "region": "eu-central-1",
        "bucket": "media",
        "accessKeyId": "SECRET-id",
        "secretAccessKey": "SECRET-key",
    },
    "host": {"accessToken": "SECRET-token"},
}


def wrong(**changes: Any) -> list[str]:
    """The problems of a good configuration after changes: `a__b=value` sets a.b, None takes it away."""
    values = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = path.split("__")
        target = values
        for part in above:
            target = target.setdefault(part, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
    with pytest.raises(ConfigurationError) as caught:
        parse(values)
    return str(caught.value).splitlines()


def test_a_good_configuration_needs_no_more_than_server_store_and_keys() -> None:
    settings = parse(GOOD)
    assert settings.phase == "prepare"
    assert settings.host.media_store == "/matrix/synapse/storage/media-store"
    assert settings.copying.method == "rclone"


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        ({"phase": "lvie"}, "phase:", "use prepare, mirror, live or clean"),
        ({"store__endpoint": None}, "store.endpoint: is missing", "https://s3.example.com"),
        ({"store__endpoint": "s3.example.com"}, "store.endpoint:", "https://s3.example.com"),
        ({"store__bucket": "My_Bucket"}, "store.bucket:", "private bucket"),
        ({"store__region": ""}, "store.region:", "region that belongs to the endpoint"),
        ({"store__onDestroy": "nonsense"}, "store.onDestroy:", "use retain"),
        ({"store__kind": "floppy"}, "store.kind:", "use existing"),
        ({"store__adopt": "perhaps"}, "store.adopt:", "true or false"),
        ({"store__secretAccessKey": None}, "store.secretAccessKey: is missing", "--path store.secretAccessKey"),
        ({"store__accessKeyId": ""}, "store.accessKeyId:", "--secret --path store.accessKeyId"),
        ({"server__host": None}, "server.host: is missing", "runs Synapse"),
        ({"server__port": 70000}, "server.port:", "1 to 65535"),
        ({"server__user": ""}, "server.user:", "user name"),
        ({"server__hostKey": "ssh-ed25519 not*base64"}, "server.hostKey:", "ssh-keyscan"),
        ({"server__hostKey": "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIP"}, "server.hostKey:", "ssh-keyscan"),
        ({"server__privateKey": "hunter2"}, "server.privateKey: is not an SSH private key", "server.privateKey <"),
        ({"server__privateKey": None}, "server.privateKey: is missing", "server.useAgent to true"),
        ({"server__useAgent": "perhaps"}, "server.useAgent:", "true or false"),
        ({"server__privateKeyPassword": "x"}, "server.privateKeyPassword: is set, and", "a key without one"),
        ({"server__privateKey": PROTECTED}, "server.privateKeyPassword: is missing, and", "--secret --path"),
        (
            {"server__privateKey": GCM, "server__privateKeyPassword": "x"},
            "server.privateKeyPassword: opens", "-Z aes256-ctr",
        ),
        ({"server__hostKey": RSA}, "server.hostKey: is not a public host key", "ed25519"),
        ({"server__statusKeys": ["x"]}, "server.statusKeys.0: is not a public SSH key", "list public keys"),
        ({"server__host": "-oProxyCommand=x y"}, "server.host: is not a name", "runs Synapse"),
        ({"server__user": "me\nProxyCommand x"}, "server.user: is not a user", "user name"),
        ({"server__jumpHost": "jump.example.com"}, "server.jumpHostKey: is missing, and", "ssh-keyscan"),
        ({"server__jumpHost": "a b", "server__jumpHostKey": HOST_KEY}, "server.jumpHost:", "leave it out"),
        ({"server__jumpHostKey": "x"}, "server.jumpHostKey: is not a public", "ssh-keyscan"),
        ({"server__jumpPort": 0}, "server.jumpPort:", "1 to 65535"),
        ({"server__jumpUser": "$(x)"}, "server.jumpUser:", "user name"),
        ({"host__mediaStore": "matrix/media"}, "host.mediaStore:", "absolute path"),
        ({"host__mediaStore": "/matrix/../etc"}, "host.mediaStore:", "absolute path"),
        ({"host__services": ["synapse"]}, "host.services.0:", "systemd units"),
        ({"host__services": ["a*b.service"]}, "host.services.0:", "systemd units"),
        ({"host__homeserverUrl": "localhost:8008"}, "host.homeserverUrl:", "http://127.0.0.1:8008"),
        ({"host__database": "postgres"}, "host.database:", "leave it out"),
        ({"mount__goofysUrl": "http://insecure"}, "mount.goofysUrl:", "https://"),
        ({"mount__goofysSha256": "abc"}, "mount.goofysSha256:", "64 hexadecimal"),
        ({"mount__rcloneUrl": "http://insecure"}, "mount.rcloneUrl:", "https://"),
        ({"mount__rcloneUrl": "https://a/b"}, "mount.rcloneUrl: goes together", "give both"),
        ({"mount__rcloneSha256": "0" * 64}, "mount.rcloneUrl: goes together", "give both"),
        ({"mount__rcloneUrl": "https://a/b", "mount__rcloneSha256": "x"}, "mount.rcloneSha256:", "64 hexadecimal"),
        ({"store__prefix": "/media"}, "store.prefix: has other", "without slashes at its ends"),
        ({"store__prefix": "a/../b"}, "store.prefix: has other", "without slashes at its ends"),
        ({"store__prefix": "a/.matrix-media-store"}, "store.prefix: has other", "without slashes at its ends"),
        ({"store__prefix": "a", "mount__managedBy": "playbook"}, "mount.managedBy:", "use stack"),
        ({"mount__memoryMax": "lots"}, "mount.memoryMax:", "512M"),
        ({"mount__managedBy": "ansible"}, "mount.managedBy:", "stack or playbook"),
        ({"mount__managedBy": "playbook", "mount__program": "rclone"}, "mount.managedBy:", "use stack"),
        ({"mount__managedBy": "playbook", "store__sseCustomerKey": f"{'A' * 43}="}, "mount.managedBy:", "use stack"),
        ({"copy__method": "ftp"}, "copy.method:", "rclone, rsync or b2"),
        ({"copy__transfers": -1}, "copy.transfers:", "0 to 256"),
        ({"copy__bandwidth": "fast"}, "copy.bandwidth:", "10M for 10 MiB/s"),
        ({"copy__exclude": ["a/b"]}, "copy.exclude.0:", "without slashes"),
        ({"migration__deletionLimitPercent": 101}, "migration.deletionLimitPercent:", "0 to 100"),
        ({"migration__windowSeconds": 5}, "migration.windowSeconds:", "10 to 7200"),
        ({"host__stopSeconds": 0}, "host.stopSeconds:", "5 to 3600"),
        ({"host__startSeconds": "soon"}, "host.startSeconds:", "5 to 3600"),
        ({"migration__confirmed": ["x" * 70_000]}, "migration.confirmed:", "several rounds"),
        ({"store__bukcet": "typo"}, "store.bukcet: is not a setting", "bucket"),
        ({"phse": "live"}, "phse: is not a setting", "phase"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_key_and_its_remedy(changes: dict[str, Any], key: str, remedy: str) -> None:
    (line,) = wrong(**changes)
    assert line.startswith(key)
    assert remedy in line.partition(" -- ")[2]


def test_a_key_of_the_ssh_agent_needs_no_private_key_and_a_protected_one_its_password() -> None:
    server = {"host": "m.example.com", "hostKey": HOST_KEY}
    agent = parse({**GOOD, "server": {**server, "useAgent": True}}).server
    assert agent.private_key.get_secret_value() == ""
    limited = parse({**GOOD, "server": {**GOOD["server"], "statusKeys": [f"{RSA} me@home"]}}).server
    assert limited.status_keys == [RSA], "without its comment"
    protected = parse({**GOOD, "server": {**server, "privateKey": PROTECTED, "privateKeyPassword": "sesame"}}).server
    assert protected.private_key_password.get_secret_value() == "sesame" and "sesame" not in repr(protected)


def test_all_mistakes_are_told_at_once_and_none_shows_a_secret() -> None:
    lines = wrong(phase="x", store__endpoint=None, server__privateKey="hunter2", copy__method="ftp")
    assert [line.partition(":")[0] for line in sorted(lines)] == [
        "copy.method", "phase", "server.privateKey", "store.endpoint",
    ]  # fmt: skip
    assert "hunter2" not in "\n".join(lines)


def config(values: dict[str, Any]) -> dict[str, str]:
    return {f"p:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


SECRET_KEYS = {"p:server", "p:store", "p:host"}


def test_the_engines_configuration_is_read_and_other_namespaces_are_passed_over() -> None:
    settings = read("p", {**config(GOOD), "aws:region": "x", "p:phase": "live"}, SECRET_KEYS)
    assert settings.phase == "live"


def test_a_secret_in_plain_text_is_refused_with_the_command_that_mends_it() -> None:
    with pytest.raises(ConfigurationError, match="store.secretAccessKey: lies in plain text.*--secret --path"):
        read("p", config(GOOD), SECRET_KEYS - {"p:store"})


def test_a_group_that_is_no_object_is_told_with_the_other_mistakes() -> None:
    values = config(GOOD) | {"p:copy": "rsync", "p:phase": "x"}
    with pytest.raises(ConfigurationError) as caught:
        read("p", values, SECRET_KEYS)
    assert "copy: is not an object" in str(caught.value) and "phase:" in str(caught.value)


def test_a_text_under_a_name_that_is_no_setting_is_told_as_such() -> None:
    """Review, entry 56: it read 'is not an object'."""
    with pytest.raises(ConfigurationError) as caught:
        read("p", {**config(GOOD), "p:phse": "live"}, {"p:server", "p:store", "p:host"})
    assert str(caught.value).startswith("phse: is not a setting -- use one of phase")


def test_every_setting_has_a_description_and_a_remedy() -> None:
    def fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
        for name, field in model.model_fields.items():
            yield f"{model.__name__}.{name}", field
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from fields(field.annotation)

    for name, field in fields(Settings):
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["fix"], name


def test_the_example_stack_is_complete_but_for_its_secrets() -> None:
    path = Path(__file__).parents[2] / "stacks/Pulumi.example-existing.yaml"
    document = yaml.safe_load(path.read_text())["config"]
    values = {key.partition(":")[2]: value for key, value in document.items()}
    with pytest.raises(ConfigurationError) as caught:
        parse(values)
    missing = {line.partition(":")[0] for line in str(caught.value).splitlines()}
    assert missing == {"server.privateKey", "store.accessKeyId", "store.secretAccessKey"}


@pytest.mark.parametrize("unit", ["matrix-synapse-worker@*.service", "matrix-synapse-worker-*.service", "a@b.service"])
def test_workers_of_a_template_are_units_too(unit: str) -> None:
    """Review, entry 32: Synapse's own documentation makes them so."""
    assert parse({**GOOD, "host": {"services": [unit]}}).host.services == [unit]


@pytest.mark.parametrize(
    ("mount", "memory"),
    [
        ({}, "1G"),
        ({"cache": "20G"}, "3072M"),
        ({"cache": "500M"}, "1074M"),
        ({"cache": "1T"}, "105881M"),
        ({"cache": "20G", "memoryMax": "900M"}, "900M"),
    ],
)
def test_a_cache_brings_memory_for_the_files_in_it_unless_the_stack_says_how_much(
    mount: dict[str, Any], memory: str
) -> None:
    assert parse({**GOOD, "mount": mount}).mount.memory == memory


def stack_of(own: dict[str, Any], shared: Any, *, encrypted: tuple[str, ...] = ("server", "store", "host")) -> Settings:
    """What a stack says itself, and what it shares with others."""
    config = {f"matrix-media-store:{key}": json.dumps(value) for key, value in own.items()}
    config["matrix-media-store:shared"] = shared if isinstance(shared, str) else json.dumps(shared)
    return read("matrix-media-store", config, {f"matrix-media-store:{key}" for key in encrypted})


def test_what_is_shared_lies_beneath_what_a_stack_says_key_by_key() -> None:
    """Review, entry 59."""
    own = {**GOOD, "mount": {"memoryMax": "2G"}, "copy": {"exclude": ["one"]}}
    shared = {
        "mount": {"memoryMax": "1G", "cache": "20G"}, "copy": {"exclude": ["two"], "bandwidth": "20M"},
        "host": {"stopSeconds": 77}, "migration": {"windowSeconds": 99},
    }  # fmt: skip
    settings = stack_of(own, shared)
    assert (settings.mount.memory_max, settings.mount.cache) == ("2G", "20G")
    assert (settings.copying.exclude, settings.copying.bandwidth) == (["one"], "20M")
    assert settings.host.stop_seconds == 77 and settings.migration.window_seconds == 99
    assert settings.host.access_token.get_secret_value() == "SECRET-token"


def test_what_is_shared_is_checked_as_if_the_stack_said_it_and_holds_no_secret_in_plain_text() -> None:
    with pytest.raises(ConfigurationError, match="mount.cashe: is not a setting"):
        stack_of(GOOD, {"mount": {"cashe": "20G"}})
    with pytest.raises(ConfigurationError, match="^shared: is not an object"):
        stack_of(GOOD, "20G")
    for shared in (
        {"host": {"accessToken": "SECRET"}},
        {"stores": {"one": {"kind": "existing", "secretAccessKey": "SECRET"}}},
    ):
        with pytest.raises(
            ConfigurationError, match=r"shared\.\S+: lies in plain text.*--path (host|stores)\."
        ) as caught:
            stack_of(GOOD, shared)
        assert "SECRET" not in str(caught.value)
    assert stack_of(GOOD, {"host": {"accessToken": "x"}}, encrypted=("server", "store", "host", "shared"))
    assert is_secret("shared.host.accessToken") and not is_secret("shared.mount.cache")


def test_settings_of_a_project_of_another_name_are_named_and_not_passed_over() -> None:
    values = {f"ours:{key}": json.dumps(value) for key, value in GOOD.items()}
    values["matrix-media-store:shared"] = json.dumps({"mount": {"cache": "20G"}})
    with pytest.raises(ConfigurationError, match="matrix-media-store:shared: .* -- write ours:shared"):
        read("ours", values, {"ours:server", "ours:store", "ours:host"})
    del values["matrix-media-store:shared"]
    assert read("ours", values, {"ours:server", "ours:store", "ours:host"})
