"""This module joins settings, stores and server: for a stack of this program, and for a component of another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from .host import observation
from .host.connection import Connection, Unreachable
from .host.media_server import MediaServer
from .host.observation import Observation, StartFrom
from .host.sections import api_token, asked_with, known_store, sections
from .outputs import latest, next_step, summary
from .settings import Settings, customer_key_of
from .store import Store, make_stores


def look(settings: Settings, connection: Connection, holder: str, preview: bool) -> Observation:
    """Look at the server before anything is declared; a preview prints what would change there.

    `holder` is who holds the server to its phase: the stack. Raises `Unreachable`, and pulumi.RunError where what is
    asked for cannot be.
    """
    try:
        observed = observation.observe(
            connection,
            phase=settings.phase,
            sections=asked_with(settings, holder),
            store=known_store(settings),
            preview=preview,
        )
        observed.check_stack(holder, settings.store.adopt)
        observed.check_names(settings.store_name, settings.all_stores)
        for name, store in settings.all_stores.items():
            observed.check_store(store, customer_key_of(store), name)
    except (observation.WrongStack, observation.WrongStore) as error:
        raise pulumi.RunError(str(error)) from None
    except observation.ServerError as error:
        raise pulumi.RunError(f"the server {settings.server.host} cannot say what holds there: {error}") from None
    if preview:
        for line in observation.move_lines(observed, settings) + observation.plan_lines(observed, settings.phase):
            pulumi.log.info(line)
    return observed


def unreachable(settings: Settings, error: Unreachable) -> str:
    """Return what to do where the server is not reached."""
    return (
        f"the server {settings.server.host} cannot be reached: {error} -- check server.host, server.port, "
        "server.user, server.privateKey and server.hostKey (and server.useAgent, server.jumpHost and "
        "server.jumpHostKey, where they are set)"
    )


def join(
    name: str,
    settings: Settings,
    connection: Connection,
    holder: str,
    start: pulumi.Input[StartFrom],
    opts: pulumi.ResourceOptions | None = None,
) -> tuple[Store, MediaServer]:
    """Declare all stores and the server, and return the store that serves, and the server.

    Their components are called `name`, and have the options `opts`.
    """
    stores = make_stores(name, settings, opts)
    store = stores[settings.store_name]
    server = MediaServer(
        name,
        connection=connection,
        store=store,
        stores=stores,
        sections=sections(settings, store, holder),
        token=api_token(settings),
        phase=settings.phase,
        start=start,
        opts=opts,
    )
    return store, server


def told(server: MediaServer) -> pulumi.Output[Mapping[str, Any]]:
    """Return the verdict of the last run to a phase, or that of the last move, whichever began later."""
    return pulumi.Output.all(server.verdict, server.moved).apply(lambda both: latest(*both))


def outputs(settings: Settings, store: Store, server: MediaServer) -> dict[str, pulumi.Output[str]]:
    """Return what a stack and a component both tell, none of it secret, by name."""
    return {
        "phase": server.verdict.apply(lambda verdict: verdict.get("phase", settings.phase)),
        "bucket": pulumi.Output.from_input(store.bucket),
        "endpoint": pulumi.Output.from_input(store.endpoint),
        "summary": told(server).apply(lambda verdict: summary(verdict, settings.host.media_store)),
        "next": server.verdict.apply(lambda verdict: next_step(verdict.get("phase", ""), settings)),
    }
