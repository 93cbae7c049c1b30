"""What the stack told the server, by section; secrets among it, so the file is 0600."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import Problem


@dataclass(frozen=True)
class HostSettings:
    """The server and its homeserver."""

    #: The stack that holds this server to a phase.
    stack: str = ""
    #: Who logs in over SSH, and the public keys that may ask for the status alone as that user.
    ssh_user: str = "root"
    status_keys: list[str] = field(default_factory=list)
    media_store: str = "/matrix/synapse/storage/media-store"
    services: list[str] = field(default_factory=list)
    homeserver_url: str = "http://127.0.0.1:8008"
    database: str = "auto"
    #: Seconds for which the services may take to stop, and the homeserver to answer after its start.
    stop_seconds: int = 180
    start_seconds: int = 300

    @property
    def store_path(self) -> Path:
        return Path(self.media_store)

    @property
    def backup_path(self) -> Path:
        return self.store_path.with_name(self.store_path.name + "-local-backup")


@dataclass(frozen=True)
class StoreSettings:
    """The bucket, as any S3 client needs it."""

    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    adopt: bool = False
    storage_class: str = ""
    #: Seconds for which a key never used here before may be refused.
    key_patience: int = 0
    #: Address of Backblaze's own API for the b2 command line; empty for the public one.
    b2_api: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    #: For SSE-C: base64 of 32 bytes; empty without.
    sse_customer_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class MountSettings:
    """How the bucket is mounted."""

    program: str = "goofys"
    goofys_url: str = ""
    goofys_sha256: str = ""
    memory_max: str = "1G"
    #: `stack`, or `playbook` where its own mount may take the place of ours; see `handover`.
    managed_by: str = "stack"


@dataclass(frozen=True)
class MigrationSettings:
    """How files are copied, compared and proven."""

    copy_method: str = "rclone"
    #: Files copied at once; 0 for as many as fit, see `pace`.
    transfers: int = 0
    #: As rclone and rsync take it, `10M` for 10 MiB/s; empty for no limit.
    bandwidth: str = ""
    exclude: list[str] = field(default_factory=list)
    deletion_limit_percent: float = 5.0
    confirmed: list[str] = field(default_factory=list)
    #: Seconds that the last files may take in a window.
    window_seconds: int = 300
    access_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Settings:
    host: HostSettings = field(default_factory=HostSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    mount: MountSettings = field(default_factory=MountSettings)
    migration: MigrationSettings = field(default_factory=MigrationSettings)


_SECTIONS: dict[str, Any] = {f.name: f.default_factory for f in fields(Settings)}


def is_regions_own(endpoint: str, region: str) -> bool:
    """Whether this is the address that a client of AWS takes for a region by itself."""
    return bool(re.fullmatch(rf"https://s3\.{re.escape(region)}\.amazonaws\.com(\.cn)?", endpoint))


def fingerprint(key: str) -> str:
    """What tells two customer's keys apart without telling either; empty for none."""
    return hashlib.sha256(b"matrix-media-store:" + key.encode()).hexdigest()[:16] if key else ""


def parse(document: dict[str, Any]) -> Settings:
    """Settings from sections; an unknown section, key or type is a `Problem` that names it."""
    made = {}
    for name, values in document.items():
        section = _SECTIONS.get(name)
        if section is None:
            raise Problem(
                f"unknown settings section {name!r}",
                "agent and program differ in version: run pulumi up again",
            )
        known = {f.name: f for f in fields(section)}
        default = section()
        for key, value in values.items():
            if key not in known:
                raise Problem(
                    f"unknown setting {name}.{key}",
                    "agent and program differ in version: run pulumi up again",
                )
            wanted = type(getattr(default, key))
            if not isinstance(value, wanted) and not (wanted is float and isinstance(value, int)):
                raise Problem(
                    f"setting {name}.{key} is not a {wanted.__name__}",
                    "correct it in the stack's configuration",
                )
        made[name] = section(**values)
    return Settings(**made)


def merge(base: dict[str, Any], *documents: dict[str, Any]) -> dict[str, Any]:
    """Documents of sections laid over each other, key by key."""
    merged = {name: dict(values) for name, values in base.items()}
    for document in documents:
        for name, values in document.items():
            merged[name] = {**merged.get(name, {}), **values}
    return merged
