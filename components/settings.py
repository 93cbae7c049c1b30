"""What a stack may say. All of it is checked before the first resource, and every problem is named at once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

Phase = Literal["prepare", "mirror", "live", "clean"]

#: The published goofys 0.24.0 for linux/amd64, its last release.
GOOFYS_URL = "https://github.com/kahing/goofys/releases/download/v0.24.0/goofys"
GOOFYS_SHA256 = "729688b6bc283653ea70f1b2b6406409ec1460065161c680f3b98b185d4bf364"
#: Synapse rebuilds previews of web pages and expires them every few seconds: not worth copying.
LEFT_OUT = ["url_cache", "url_cache_thumbnails"]


class ConfigurationError(Exception):
    """Everything that is wrong with a stack's configuration, a line each."""


def setting(default: Any, description: str, fix: str, **more: Any) -> Any:
    """A field with what it means and what to do where its value is wrong."""
    return Field(default, description=description, json_schema_extra={"fix": fix}, **more)


def _must(test: Callable[[str], bool], complaint: str) -> AfterValidator:
    def check(value: str) -> str:
        if not test(value):
            raise PydanticCustomError("setting", complaint.replace("{", "{{").replace("}", "}}"))
        return value

    return AfterValidator(check)


def _is_url(value: str) -> bool:
    url = urlsplit(value)
    return url.scheme in ("http", "https") and bool(url.hostname) and not url.path.strip("/") and not url.query


def _is_host_key(value: str) -> bool:
    parts = value.split()
    if len(parts) < 2 or not re.fullmatch(r"(ssh|ecdsa)-[a-z0-9-]+", parts[0]):
        return False
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except ValueError:
        return False
    return parts[0].encode() in blob[:64]


def _is_private_key(value: SecretStr) -> SecretStr:
    if "PRIVATE KEY-----" not in value.get_secret_value():
        raise PydanticCustomError("setting", "is not an SSH private key")
    return value


def _is_folder(value: str) -> bool:
    return value.startswith("/") and "\n" not in value and value.rstrip("/") == value and "/../" not in f"{value}/"


Url = Annotated[str, _must(_is_url, "is not an address like https://host or https://host:port")]
Folder = Annotated[str, _must(_is_folder, "is not an absolute path without a slash at its end")]
Bucket = Annotated[
    str,
    _must(lambda v: bool(re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", v)), "is not a valid bucket name"),
]
Unit = Annotated[
    str,
    _must(
        lambda v: bool(re.fullmatch(r"[\w@.:-]+(-\*)?\.(service|timer)", v)),
        "is not the name of a service or timer (`*` only as `-*` at the end of the name)",
    ),
]

#: Characters that a list of paths may have together: it travels in a command line, which Linux limits to 128 KiB.
LONGEST_LIST = 60_000


def _fits(values: list[str]) -> list[str]:
    if sum(map(len, values)) > LONGEST_LIST:
        raise PydanticCustomError("setting", f"is longer than {LONGEST_LIST:,} characters together")
    return values


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, hide_input_in_errors=True)


class Server(Section):
    """How to reach the server."""

    host: str = setting(..., "Name or address of the server", "set it to the server that runs Synapse", min_length=1)
    port: int = setting(22, "SSH port", "give a port from 1 to 65535", ge=1, le=65535)
    user: str = setting("root", "SSH user: root, or one with sudo without password", "give a user name", min_length=1)
    host_key: Annotated[str, _must(_is_host_key, "is not a public host key")] = setting(
        ...,
        "The server's SSH host key, as 'ssh-ed25519 AAAA…'; any other is refused",
        "take it from `ssh-keyscan -t ed25519 HOST` (type and key, without the name) after checking it on the server",
    )
    private_key: Annotated[SecretStr, AfterValidator(_is_private_key)] = setting(
        ...,
        "SSH private key (secret)",
        "set it with `pulumi config set --secret --path server.privateKey < keyfile`",
    )


class ExistingStore(Section):
    """A bucket that exists, at any S3-compatible store."""

    kind: Literal["existing"] = setting("existing", "Kind of store", "use existing")
    endpoint: Url = setting(
        ..., "Address of the S3 service", "give the store's S3 address, such as https://s3.example.com"
    )
    region: str = setting(..., "Region of the bucket", "give the region that belongs to the endpoint", min_length=1)
    bucket: Bucket = setting(..., "Name of the bucket", "give the name of a private bucket that exists")
    access_key_id: SecretStr = setting(
        ...,
        "Access key id (secret)",
        "set it with `pulumi config set --secret --path store.accessKeyId`",
        min_length=1,
    )
    secret_access_key: SecretStr = setting(
        ...,
        "Secret access key (secret)",
        "set it with `pulumi config set --secret --path store.secretAccessKey`",
        min_length=1,
    )
    adopt: bool = setting(
        False,
        "Take over a bucket whose server is gone for good",
        "use true or false; true only for a rebuilt server",
    )
    on_destroy: Literal["retain"] = setting(
        "retain",
        "What `pulumi destroy` does with the bucket: one that existed before is always retained",
        "use retain, or leave it out: a bucket that this stack did not create is never deleted",
    )


class Host(Section):
    """The homeserver on the server."""

    media_store: Folder = setting(
        "/matrix/synapse/storage/media-store",
        "Synapse's media store on the server",
        "give its absolute path on the server",
    )
    services: list[Unit] = setting(
        [],
        "Units that write media; empty for the playbook's Synapse and its workers",
        "name systemd units, such as x.service",
    )
    homeserver_url: Url = setting(
        "http://127.0.0.1:8008",
        "Where the homeserver answers, seen from the server",
        "give scheme, host and port, such as http://127.0.0.1:8008 or https://matrix.example.com",
    )
    database: Annotated[
        str,
        _must(
            lambda v: v == "auto" or v.startswith(("/", "sqlite:/")),
            "is neither auto, sqlite:/path nor a program's path",
        ),
    ] = setting(
        "auto",
        "Synapse's database, asked only whether media were purged: auto, sqlite:/path, or a psql-like program's path",
        "leave it out for servers of the playbook",
    )
    access_token: SecretStr = setting(
        SecretStr(""),
        "Access token of a Matrix user for a test upload and download in `live` (secret, optional)",
        "set it with `pulumi config set --secret --path host.accessToken`",
    )


class Mount(Section):
    """How the bucket is mounted."""

    goofys_url: Annotated[
        str,
        _must(lambda v: v.startswith(("https://", "file:///")), "is neither an https:// nor a file:/// address"),
    ] = setting(GOOFYS_URL, "Where the server gets goofys", "use https://…, or file:///path for a file on the server")
    goofys_sha256: Annotated[str, _must(lambda v: bool(re.fullmatch(r"[0-9a-f]{64}", v)), "is not a SHA-256 sum")] = (
        setting(GOOFYS_SHA256, "SHA-256 of that file", "give the 64 hexadecimal digits of a file you trust")
    )
    memory_max: Annotated[
        str, _must(lambda v: bool(re.fullmatch(r"[1-9]\d*[MG]", v)), "is not an amount of memory")
    ] = setting(
        "1G",
        "Most memory the mount may take, then it is restarted",
        "use digits and M or G, such as 512M or 2G",
    )


class Copy(Section):
    """How files are copied."""

    method: Literal["rclone", "rsync"] = setting(
        "rclone", "rclone straight to the bucket, or rsync through the mount (slow)", "use rclone or rsync"
    )
    transfers: int = setting(32, "Files copied at once by rclone", "give a number from 1 to 256", ge=1, le=256)
    exclude: list[
        Annotated[str, _must(lambda v: bool(v) and "/" not in v and v not in (".", ".."), "is not a folder's name")]
    ] = setting(
        LEFT_OUT,
        "Folders at the top of the media store that are left out",
        "name folders at the top, without slashes",
    )


class Migration(Section):
    """What may go without asking."""

    deletion_limit_percent: float = setting(
        5.0,
        "Most files, in percent, whose deletion on the other side is believed without confirmation",
        "give a number from 0 to 100",
        ge=0,
        le=100,
    )
    confirmed: Annotated[list[str], AfterValidator(_fits)] = setting(
        [],
        "Files of the local copy that `clean` may remove although the bucket lacks them",
        "list paths in the media store, and confirm in several rounds if they are many",
    )


class Settings(Section):
    """A stack's whole configuration."""

    phase: Phase = setting("prepare", "What should be true", "use prepare, mirror, live or clean")
    server: Server = setting(..., "How to reach the server", "see stacks/Pulumi.example-existing.yaml")
    store: ExistingStore = setting(..., "Where the media go", "see stacks/Pulumi.example-existing.yaml")
    host: Host = setting(Host(), "The homeserver", "see stacks/Pulumi.example-existing.yaml")
    mount: Mount = setting(Mount(), "The mount", "see stacks/Pulumi.example-existing.yaml")
    copying: Copy = setting(Copy(), "Copying", "see stacks/Pulumi.example-existing.yaml", alias="copy")
    migration: Migration = setting(Migration(), "Limits", "see stacks/Pulumi.example-existing.yaml")


def _fix(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """The remedy of the field at `path`, or of the nearest one above it."""
    fix = ""
    for part in path:
        field = next((f for n, f in model.model_fields.items() if (f.alias or to_camel(n)) == part), None)
        if field is None:
            names = ", ".join(f.alias or to_camel(n) for n, f in model.model_fields.items())
            return fix if isinstance(part, int) else f"use one of {names}"
        extra = field.json_schema_extra
        fix = str(extra.get("fix", "")) if isinstance(extra, dict) else fix
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return fix


def parse(values: dict[str, Any]) -> Settings:
    """Settings from configuration values by key. Raises ConfigurationError with a line for each problem."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            path = problem["loc"]
            text = {"missing": "is missing", "extra_forbidden": "is not a setting"}.get(problem["type"], problem["msg"])
            lines.append(f"{'.'.join(map(str, path))}: {text} -- {_fix(Settings, path)}")
        raise ConfigurationError("\n".join(lines)) from None


#: Settings that must not lie in plain text in a stack's file.
_SECRETS = {"server": "privateKey", "store": "secretAccessKey", "host": "accessToken"}


def read(project: str, config: dict[str, str], secret_keys: set[str]) -> Settings:
    """Settings from the engine's configuration. Raises ConfigurationError.

    :param config: every configuration value by full key, objects as JSON.
    :param secret_keys: full keys whose value is, or holds, an encrypted one.
    """
    values: dict[str, Any] = {}
    problems = []
    for full, text in config.items():
        namespace, _, key = full.partition(":")
        if namespace != project:
            continue
        values[key] = text
        if key != "phase":
            try:
                values[key] = json.loads(text)
            except ValueError:
                problems.append(f"{key}: is not an object -- set its parts with `pulumi config set --path {key}.…`")
                del values[key]
                continue
        secret = _SECRETS.get(key)
        if secret and isinstance(values[key], dict) and values[key].get(secret) and full not in secret_keys:
            problems.append(
                f"{key}.{secret}: lies in plain text -- set it with `pulumi config set --secret --path {key}.{secret}`"
            )
    try:
        settings = parse(values)
    except ConfigurationError as error:
        raise ConfigurationError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings
