"""This module has the settings that the stack told the server, by section. It is pure.

The sections have the names that users know from the stack's file. Secrets are among the values, so the file that holds
them has mode 0600.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import Problem, unknown_format


@dataclass(frozen=True, eq=False)
class HostSettings:
    """These settings describe the server and its homeserver."""

    #: The stack that holds this server to a phase.
    stack: str = ""
    #: Who logs in over SSH, and the public keys that may ask for the status alone as that user.
    ssh_user: str = "root"
    status_keys: list[str] = field(default_factory=list)
    media_store: str = "/matrix/synapse/storage/media-store"
    #: Where that leads by a link, as it was found on the server; the stack does not say it.
    resolved: str = field(default="", repr=False)
    #: Whether a mount that serves as the media store already is taken over; see `serving.earlier_mount`.
    adopt_mount: bool = False
    #: `none`, or `from` and `to` where the stack takes the place of synapse-s3-storage-provider, or makes it.
    storage_provider: str = "none"
    services: list[str] = field(default_factory=list)
    homeserver_url: str = "http://127.0.0.1:8008"
    database: str = "auto"
    #: Seconds for which the services may take to stop, and the homeserver to answer after its start.
    stop_seconds: int = 180
    start_seconds: int = 300
    #: The folder of node_exporter's textfile collector, for metrics; empty for none.
    metrics_folder: str = ""
    #: A token of one of the homeserver's users, for a test upload; empty without one.
    access_token: str = field(default="", repr=False)

    @property
    def store_path(self) -> Path:
        """Return the path of the media store's folder itself."""
        return Path(self.resolved or self.media_store)

    @property
    def backup_path(self) -> Path:
        """Return the path where the local copy is kept while the bucket serves."""
        return self.store_path.with_name(self.store_path.name + "-local-backup")

    @property
    def incomplete_path(self) -> Path:
        """Return the path where a local copy is filled again, after `clean`."""
        return self.backup_path.with_name(self.backup_path.name + ".incomplete")

    @property
    def removing_path(self) -> Path:
        """Return the path where a local copy lies that `clean` is removing."""
        return self.backup_path.with_name(self.backup_path.name + ".removing")


@dataclass(frozen=True, eq=False)
class StoreSettings:
    """These settings describe the bucket as any S3 client needs it."""

    #: What the stack calls the store; empty for the one that needs no name. Where the name is another, media move.
    name: str = ""
    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    #: The folder in the bucket that the media store is, without slashes at its ends; empty for the whole bucket.
    prefix: str = ""
    adopt: bool = False
    #: What rclone calls this kind of store, and so how it must be asked: https://rclone.org/s3/#s3-provider
    rclone_provider: str = "Other"
    storage_class: str = ""
    #: Seconds for which a key never used here before may be refused.
    key_patience: int = 0
    #: Address of Backblaze's own API for the b2 command line; empty for the public one.
    b2_api: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    #: For SSE-C: base64 of 32 bytes; empty without.
    sse_customer_key: str = field(default="", repr=False)

    @property
    def beginning(self) -> str:
        """Return how the key of each object of the media store begins."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def path(self) -> str:
        """Return the bucket's name, with the prefix behind a slash where there is one."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket


@dataclass(frozen=True, eq=False)
class MountSettings:
    """These settings say how the bucket is mounted."""

    program: str = "goofys"
    goofys_url: str = ""
    goofys_sha256: str = ""
    #: Empty for the published rclone of the server's processor, see `model.programs`.
    rclone_url: str = ""
    rclone_sha256: str = ""
    memory_max: str = "1G"
    #: `stack`, or `playbook` where its own mount may take the place of ours; see `serving.playbook`.
    managed_by: str = "stack"
    #: Most of the disk that a cache in front of the bucket takes, as rclone reads it; empty for none.
    cache: str = ""
    cache_folder: str = "/var/cache/matrix-media-store"
    #: Least free space on its disk.
    cache_keep_free: str = "2G"


@dataclass(frozen=True, eq=False)
class CopySettings:
    """These settings say how files are copied: the stack's section `copy`."""

    method: str = "rclone"
    #: Files copied at once; 0 for as many as fit, see `copying.concurrency`.
    transfers: int = 0
    #: As rclone and rsync take it, `10M` for 10 MiB/s; empty for no limit.
    bandwidth: str = ""
    #: Folders at the top of the media store that stay out of the bucket.
    exclude: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class MigrationSettings:
    """These settings bound a migration and say what an administrator confirmed: the stack's section `migration`."""

    deletion_limit_percent: float = 5.0
    confirmed: list[str] = field(default_factory=list)
    #: Whether the local copy may go in the very run that makes the bucket serve.
    clean_at_once: bool = False
    #: Seconds that the last files may take in a window.
    window_seconds: int = 300


@dataclass(frozen=True, eq=False)
class CutoverSettings:
    """These settings say how one side takes the place of the other: the stack's section `cutover`."""

    #: `hold`, `restart`, or `auto`: held where that can be, else stopped; see `serving.hold`.
    method: str = "auto"


@dataclass(frozen=True, eq=False)
class Settings:
    """These are all sections of settings, as the stack told them."""

    host: HostSettings = field(default_factory=HostSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    mount: MountSettings = field(default_factory=MountSettings)
    copy: CopySettings = field(default_factory=CopySettings)
    migration: MigrationSettings = field(default_factory=MigrationSettings)
    cutover: CutoverSettings = field(default_factory=CutoverSettings)


_SECTIONS: dict[str, Any] = {f.name: f.default_factory for f in fields(Settings)}

#: The format of the settings' file. Before it had a number, how to copy stood in `migration`.
FORMAT = 2
#: Where a setting of the first format stands now.
_MOVED = {
    "copy_method": ("copy", "method"),
    "transfers": ("copy", "transfers"),
    "bandwidth": ("copy", "bandwidth"),
    "exclude": ("copy", "exclude"),
    "access_token": ("host", "access_token"),
}


def with_format(sections: dict[str, Any]) -> dict[str, Any]:
    """Return sections of settings as they are written to their file, with the number of the format."""
    return {"format": FORMAT, **sections}


def of_any_format(document: dict[str, Any]) -> dict[str, Any]:
    """Return the sections of a settings' file of this format or an earlier one.

    Raises `Problem` where the file has a later format than this agent knows.
    """
    sections = dict(document)
    found = sections.pop("format", 1)
    if found == FORMAT:
        return sections
    if found != 1:
        raise unknown_format("the settings on the server have", found, FORMAT)
    if "migration" not in sections:
        return sections
    kept: dict[str, Any] = {}
    moved: dict[str, dict[str, Any]] = {}
    for key, value in sections.pop("migration").items():
        if key in _MOVED:
            section, name = _MOVED[key]
            moved.setdefault(section, {})[name] = value
        else:
            kept[key] = value
    return merge(sections, {"migration": kept}, moved)


def megabytes(amount: str) -> int:
    """Return how many MiB an amount of memory or disk is, such as `512M`, `20G` or `1T`."""
    return int(amount[:-1]) * {"M": 1, "G": 1024, "T": 1024 * 1024}[amount[-1]]


def is_regions_own(endpoint: str, region: str) -> bool:
    """Return whether `endpoint` is the address that a client of AWS takes for `region` when it is told none.

    https://docs.aws.amazon.com/general/latest/gr/s3.html
    """
    return bool(re.fullmatch(rf"https://s3\.{re.escape(region)}\.amazonaws\.com(\.cn)?", endpoint))


def shown(section: Any) -> dict[str, Any]:
    """Return the values of a section that are not secret, by name: these may stand in a command's text."""
    return {f.name: getattr(section, f.name) for f in fields(section) if f.repr}


def parse(document: dict[str, Any]) -> Settings:
    """Return the settings of a document that has values by section and name.

    Raises `Problem` that names it where a section, a name or a value's type is unknown.
    """
    return Settings(**{name: _section(name, values) for name, values in document.items()})


def _section(name: str, values: dict[str, Any]) -> Any:
    section = _SECTIONS.get(name)
    if section is None:
        raise _unknown(f"settings section {name!r}")
    types = {f.name: type(getattr(section(), f.name)) for f in fields(section)}
    for key, value in values.items():
        if key not in types:
            raise _unknown(f"setting {name}.{key}")
        wanted = types[key]
        if not isinstance(value, wanted) and not (wanted is float and isinstance(value, int)):
            raise Problem(f"setting {name}.{key} is not a {wanted.__name__}", "correct it in the stack's configuration")
    return section(**values)


def _unknown(what: str) -> Problem:
    return Problem(f"unknown {what}", "agent and program differ in version: run pulumi up again")


def merge(base: dict[str, Any], *documents: dict[str, Any]) -> dict[str, Any]:
    """Return documents of sections laid over each other value by value; of two values, the later document's counts."""
    merged = {name: dict(values) for name, values in base.items()}
    for document in documents:
        for name, values in document.items():
            merged[name] = {**merged.get(name, {}), **values}
    return merged
