"""This module is the plugin that makes the component for other programs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.provider import ConstructResult, Provider, main

from components import settings as stack_settings
from components import wiring
from components.host.connection import Connection, Unreachable, agent_trouble
from components.host.observation import StartFrom
from components.settings import Settings, plain_secrets

from .known import Known, unknown
from .schema import OUTPUTS, TOKEN, schema

#: Seconds in which a server that was just made must answer over SSH, and between two tries.
BOOT_SECONDS, PAUSE_SECONDS = 300.0, 5.0


class MediaStore(pulumi.ComponentResource):
    """A `MediaStore` is a Matrix server whose media store lies in a bucket, and the bucket.

    Its arguments are a stack's settings by the same names, see docs/configuration.md. They may come from resources of
    the same program, the server's address too.
    """

    #: What is told of it, by the names in `OUTPUTS`.
    told: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, arguments: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        # With its arguments it has their dependencies: a server made in the program goes after what is on it. The
        # state keeps all of them encrypted, whatever the caller marked.
        secret = {key: pulumi.Output.secret(value) for key, value in arguments.items()}
        super().__init__(TOKEN, name, secret, opts)
        holder = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"
        seen: pulumi.Output[tuple[Settings, StartFrom | None]] = pulumi.Output.from_input(_look(arguments, holder))
        self.told = seen.apply(lambda found: self._declare(name, holder, *found))
        self.register_outputs(self.outputs())

    def outputs(self) -> dict[str, pulumi.Output[str]]:
        """Return what is told, an output each."""
        return {name: self.told[name] for name in OUTPUTS}

    def _declare(
        self, name: str, holder: str, settings: Settings, start: StartFrom | None
    ) -> pulumi.Output[dict[str, Any]]:
        """Declare store and server; without a start, not all is known, and what is told of them is not either."""
        opts = pulumi.ResourceOptions(parent=self)
        connection = Connection.of(settings.server)
        store, server = wiring.join(name, settings, connection, holder, start or unknown(), opts)
        if not start:
            return unknown()
        return pulumi.Output.all(**wiring.outputs(settings, store, server))


def _refusal(why: str) -> pulumi.InputPropertiesError:
    """Return the error that the engine shows without a traceback.

    It names no property, since the engine would print that one's value.
    """
    return pulumi.InputPropertiesError(why, [])


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        settings = stack_settings.parse(dict(values))
    except stack_settings.ConfigurationError as error:
        raise _refusal(f"the arguments are not right:\n{error}") from None
    for warning in settings.warnings if pulumi.runtime.is_dry_run() else []:
        pulumi.log.warn(warning)
    return settings


async def _look(arguments: Mapping[str, Any], holder: str) -> tuple[Settings, StartFrom | None]:
    """Return the settings and what holds on the server, which an update waits for: it may be about to boot.

    Where not all is known, which is so in previews alone, nobody looks at a server. Raises InputPropertiesError.
    """
    known = Known()
    settings = _checked(await known.of(arguments))
    if not known.complete:
        if not pulumi.runtime.is_dry_run():
            raise _refusal("an argument is not known, and this is no preview -- run pulumi up without --target")
        return settings, None
    if trouble := agent_trouble():
        raise _refusal(trouble)
    connection, preview = Connection.of(settings.server), pulumi.runtime.is_dry_run()
    deadline = time.monotonic() + (0 if preview else BOOT_SECONDS)
    while True:
        try:
            return settings, wiring.look(settings, connection, holder, preview).start_from(settings.phase)
        except Unreachable as error:
            if time.monotonic() >= deadline:
                raise _refusal(wiring.unreachable(settings, error)) from None
        except pulumi.RunError as error:
            raise _refusal(str(error)) from None
        await asyncio.sleep(PAUSE_SECONDS)


class MediaStoreProvider(Provider):
    """This provider makes the component for the engine."""

    def __init__(self) -> None:
        document = schema()
        super().__init__(document["version"], json.dumps(document))

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        """Make the component. Raises InputPropertiesError where a secret came in plain text."""
        if plain := [path for key, value in inputs.items() for path in plain_secrets(key, value)]:
            remedy = "give them as secrets: pulumi.secret(), or a secret of the configuration"
            raise _refusal(f"secrets lie in plain text: {', '.join(plain)} -- {remedy}")
        made = MediaStore(name, inputs, options)
        return ConstructResult(made.urn, made.outputs())


def serve(arguments: Sequence[str]) -> None:
    """Serve the engine until it ends; `arguments` are those that it started the plugin with."""
    main(MediaStoreProvider(), list(arguments))
