"""Wiring only: settings -> store -> server -> outputs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

from components import playbook, report, wiring
from components import settings as stack_settings
from components.host.connection import Connection, Unreachable, agent_trouble
from components.host.last_known import LAST_KNOWN, is_strict, last_known
from components.host.media_server import MediaServer
from components.host.observation import StartFrom
from components.outputs import shown_verdict
from components.settings import Settings
from components.store import Store, provider_trouble

NAME = "matrix"
#: A folder for each stack, with a page for each migration.
REPORTS = Path(__file__).with_name("reports")


def look(settings: Settings, connection: Connection, preview: bool) -> pulumi.Input[StartFrom]:
    """Look at the server before anything is declared, and return what the commands start from.

    A preview prints what would change there, and plans with the last known state where the server is not reached.
    """
    try:
        observed = wiring.look(settings, connection, pulumi.get_stack(), preview)
    except Unreachable as error:
        unreachable = f"{wiring.unreachable(settings, error)}; nothing was changed"
        if not preview or is_strict():
            raise pulumi.RunError(unreachable) from None
        pulumi.log.warn(f"the server {settings.server.host} cannot be reached ({error}): {LAST_KNOWN}")
        return last_known(settings.phase, unreachable)
    return observed.start_from(settings.phase)


def main() -> None:
    preview = pulumi.runtime.is_dry_run()
    try:
        settings = stack_settings.read(pulumi.get_project(), get_config_env(), set(get_config_secret_keys_env()))
    except stack_settings.ConfigurationError as error:
        raise pulumi.RunError(f"the stack's configuration is not right:\n{error}") from None
    for warning in settings.warnings if preview else []:
        pulumi.log.warn(warning)

    if trouble := agent_trouble() or provider_trouble(settings, get_config_env(), os.environ):
        raise pulumi.RunError(trouble)
    connection = Connection.of(settings.server)
    start = look(settings, connection, preview)
    store, server = wiring.join(NAME, settings, connection, pulumi.get_stack(), start)
    told = wiring.told(server)
    for name, value in {**wiring.outputs(settings, store, server), **store.shown}.items():
        pulumi.export(name, value)
    pulumi.export("server", told.apply(shown_verdict))
    pulumi.export("repairs", server.repairs)
    if settings.mount.managed_by == "playbook":  # else its mount would cover a local media store
        export_playbook(store)
    if settings.host.storage_provider == "to":
        export_provider(settings, store, server)

    if not preview:
        told.apply(lambda v: leave_report(settings, v))


def export_playbook(store: Store) -> None:
    """Export the lines for vars.yml by which the playbook mounts the bucket, and those with its keys."""
    place = pulumi.Output.all(store.endpoint, store.region, store.bucket, store.storage_class)
    pulumi.export("playbookVars", place.apply(lambda known: playbook.lines(playbook.variables(*known))))
    keys = pulumi.Output.all(store.access_key_id, store.secret_access_key)
    lines = keys.apply(lambda known: playbook.lines(playbook.keys(*known)))
    pulumi.export("playbookKeys", pulumi.Output.secret(lines))


def export_provider(settings: Settings, store: Store, server: MediaServer) -> None:
    """Export the lines for vars.yml by which synapse-s3-storage-provider serves from the bucket."""
    place = pulumi.Output.all(store.endpoint, store.region, store.bucket, store.prefix, store.storage_class)
    pulumi.export(
        "providerVars",
        pulumi.Output.all(server.verdict, place).apply(
            lambda known: playbook.provider_shown(known[0].get("phase", ""), playbook.provider_variables(*known[1]))
        ),
    )
    key = pulumi.Output.all(*store.provider_key) if store.provider_key else None
    pulumi.export(
        "providerKeys",
        pulumi.Output.secret(
            pulumi.Output.all(key, store.sse_customer_key).apply(lambda known: playbook.provider_keys(*known))
        ),
    )


def leave_report(settings: Settings, verdict: Mapping[str, Any]) -> None:
    """A page that cannot be written is no reason to fail: the server is as it should be."""
    try:
        report.leave(REPORTS, pulumi.get_stack(), settings.server.host, settings.store.bucket, verdict)
    except Exception as error:  # whatever it is, it says nothing about the migration
        pulumi.log.warn(f"the report cannot be written: {error}")


main()
