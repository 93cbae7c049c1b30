"""The stack's settings as the agent takes them: what may be shown, and what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from ..settings import Settings
from ..store import Store

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Sections:
    """The agent's settings by section. `store` may hold values known only during an update."""

    host: Section
    store: Section
    mount: Section
    migration: Section


def host_section(settings: Settings, stack: str) -> Section:
    host = settings.host
    return {
        "stack": stack,
        "ssh_user": settings.server.user,
        "status_keys": settings.server.status_keys,
        "media_store": host.media_store,
        "services": host.services,
        "homeserver_url": host.homeserver_url.rstrip("/"),
        "database": host.database,
        "stop_seconds": host.stop_seconds,
        "start_seconds": host.start_seconds,
    }


def migration_section(settings: Settings) -> Section:
    return {
        "copy_method": settings.copying.method,
        "transfers": settings.copying.transfers,
        "bandwidth": settings.copying.bandwidth,
        "exclude": settings.copying.exclude,
        "deletion_limit_percent": settings.migration.deletion_limit_percent,
        "confirmed": settings.migration.confirmed,
        "window_seconds": settings.migration.window_seconds,
    }


def shown(settings: Settings, store: Store, stack: str) -> Sections:
    """All that may stand in a command's text."""
    return Sections(
        host=host_section(settings, stack),
        store={
            "endpoint": store.endpoint,
            "region": store.region,
            "bucket": store.bucket,
            "adopt": store.adopt,
            "storage_class": store.storage_class,
            "key_patience": store.key_patience,
            "b2_api": store.b2_api,
        },
        mount={
            "program": settings.mount_program,
            "goofys_url": settings.mount.goofys_url,
            "goofys_sha256": settings.mount.goofys_sha256,
            "memory_max": settings.mount.memory_max,
            "managed_by": settings.mount.managed_by,
        },
        migration=migration_section(settings),
    )


def store_keys(store: Store) -> dict[str, pulumi.Input[Any]]:
    return {
        "store": {
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
            "sse_customer_key": store.sse_customer_key,
        },
    }


def api_token(settings: Settings) -> dict[str, pulumi.Input[Any]]:
    return {"migration": {"access_token": settings.host.access_token.get_secret_value()}}
