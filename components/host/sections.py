"""This module makes the agent's settings of the stack's: what may be shown, and what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from agent.model.settings import (
    CopySettings,
    CutoverSettings,
    HostSettings,
    MigrationSettings,
    MountSettings,
    StoreSettings,
    shown,
)

from ..settings import ExistingStore, Settings
from ..store import Store

#: A section's values by name, none of them secret.
Section = Mapping[str, Any]


@dataclass(frozen=True)
class Sections:
    """This record has the agent's settings by section; `store` may hold values known only during an update."""

    host: Section
    store: pulumi.Input[Section]
    mount: Section
    copy: Section
    migration: Section
    cutover: Section


def host_section(settings: Settings, stack: str) -> Section:
    """Return the section on the server and its homeserver."""
    host = settings.host
    return shown(
        HostSettings(
            stack=stack,
            ssh_user=settings.server.user,
            status_keys=settings.server.status_keys,
            media_store=host.media_store,
            adopt_mount=host.adopt_mount,
            storage_provider=host.storage_provider,
            services=host.services,
            homeserver_url=host.homeserver_url.rstrip("/"),
            database=host.database,
            stop_seconds=host.stop_seconds,
            start_seconds=host.start_seconds,
            metrics_folder=host.metrics_folder,
        )
    )


def mount_section(settings: Settings) -> Section:
    """Return the section on how the bucket is mounted."""
    mount = settings.mount
    return shown(
        MountSettings(
            program=settings.mount_program,
            goofys_url=mount.goofys_url,
            goofys_sha256=mount.goofys_sha256,
            rclone_url=mount.rclone_url,
            rclone_sha256=mount.rclone_sha256,
            memory_max=mount.memory,
            managed_by=mount.managed_by,
            cache=mount.cache,
            cache_folder=mount.cache_folder,
            cache_keep_free=mount.cache_keep_free,
        )
    )


def copy_section(settings: Settings) -> Section:
    """Return the section on how files are copied."""
    copying = settings.copying
    return shown(
        CopySettings(
            method=copying.method,
            transfers=copying.transfers,
            bandwidth=copying.bandwidth,
            exclude=copying.exclude,
        )
    )


def migration_section(settings: Settings) -> Section:
    """Return the section on what bounds a migration."""
    migration = settings.migration
    return shown(
        MigrationSettings(
            deletion_limit_percent=migration.deletion_limit_percent,
            confirmed=migration.confirmed,
            clean_at_once=migration.clean_at_once,
            window_seconds=migration.window_seconds,
        )
    )


def cutover_section(settings: Settings) -> Section:
    """Return the section on how one side takes the place of the other."""
    return shown(CutoverSettings(method=settings.cutover.method))


def store_section(store: Store, name: str) -> pulumi.Output[Section]:
    """Return the section on the bucket."""

    def section(known: dict[str, Any]) -> Section:
        return shown(StoreSettings(**known))

    return pulumi.Output.all(
        name=name,
        endpoint=store.endpoint,
        region=store.region,
        bucket=store.bucket,
        prefix=store.prefix,
        adopt=store.adopt,
        rclone_provider=store.rclone_provider,
        storage_class=store.storage_class,
        key_patience=store.key_patience,
        b2_api=store.b2_api,
    ).apply(section)


def sections(settings: Settings, store: Store, stack: str) -> Sections:
    """Return all sections that may stand in a command's text."""
    return Sections(
        host=host_section(settings, stack),
        store=store_section(store, settings.store_name),
        mount=mount_section(settings),
        copy=copy_section(settings),
        migration=migration_section(settings),
        cutover=cutover_section(settings),
    )


def asked_with(settings: Settings, stack: str) -> dict[str, Section]:
    """Return the sections that the agent must know to say what holds."""
    return {
        "host": host_section(settings, stack),
        "mount": mount_section(settings),
        "copy": copy_section(settings),
        "migration": migration_section(settings),
        "cutover": cutover_section(settings),
    }


def known_store(settings: Settings) -> dict[str, Any]:
    """Return the section on a bucket that exists, its keys among it; it is empty for one that the stack creates.

    Of that, the server knows more than the settings do.
    """
    store = settings.store
    if not isinstance(store, ExistingStore):
        return {}
    secret = {
        "access_key_id": store.access_key_id.get_secret_value(),
        "secret_access_key": store.secret_access_key.get_secret_value(),
        "sse_customer_key": store.sse_customer_key.get_secret_value(),
    }
    open_values = {
        "name": settings.store_name,
        "endpoint": store.endpoint,
        "region": store.region,
        "bucket": store.bucket,
        "prefix": store.prefix,
    }
    return {**open_values, "adopt": store.adopt, "rclone_provider": store.known.rclone, **secret}


def store_keys(store: Store) -> dict[str, pulumi.Input[Any]]:
    """Return the bucket's secrets, by section and name."""
    return {
        "store": {
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
            "sse_customer_key": store.sse_customer_key,
        },
    }


def api_token(settings: Settings) -> dict[str, pulumi.Input[Any]]:
    """Return the access token with which a test upload is made, by section and name."""
    return {"host": {"access_token": settings.host.access_token.get_secret_value()}}
