"""A resource provider over gRPC: what every stand-in shares. A resource says what it takes and does."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

from .values import UNKNOWN, from_wire, has_unknown, plain, secret, to_wire

Values = dict[str, Any]
Log = Callable[[str], None]


@dataclass(frozen=True)
class Property:
    """An input as the published schema has it; `fields` for an object."""

    kind: type | tuple[type, ...]
    required: bool = False
    secret: bool = False
    replaces: bool = False
    default: Any = None
    fields: dict[str, Property] | None = None


class Resource(ABC):
    """One resource type. Without `update`, every change replaces."""

    inputs: dict[str, Property]
    outputs: tuple[str, ...] = ()

    @abstractmethod
    def create(self, inputs: Values, log: Log) -> Values:
        """Do it; returns outputs beside the inputs. Raises RuntimeError with the provider's words."""

    update: Callable[[Values, Values, Log], Values] | None = None

    def delete(self, state: Values, log: Log) -> None:
        """Undo it, from the old state."""
        return


def check(properties: dict[str, Property], values: Values, path: str = "") -> tuple[Values, list[tuple[str, str]]]:
    """Inputs with defaults, and what is wrong with them."""
    failures = [
        (path + name, "unrecognized field") for name in values if name not in properties and name != "__defaults"
    ]
    filled = dict(values)
    for name, wanted in properties.items():
        given = plain(values.get(name))
        if given is None:
            if wanted.default is not None:
                filled[name] = wanted.default
            elif wanted.required:
                failures.append((path + name, f"missing required property '{path + name}'"))
            continue
        if has_unknown(given) and not wanted.fields:
            continue
        if not isinstance(given, wanted.kind):
            failures.append((path + name, f"wrong type: {type(given).__name__}"))
        elif wanted.fields:
            inner, wrong = check(wanted.fields, given, f"{path}{name}.")
            failures += wrong
            filled[name] = inner
        if wanted.secret:
            filled[name] = secret(filled[name])
    return filled, failures


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Speaks the engine's protocol for a set of resource types."""

    def __init__(self, version: str, resources: dict[str, Resource], engine: str | None) -> None:
        self._version = version
        self._resources = resources
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None

    def _resource(self, urn: str, context: grpc.ServicerContext) -> Resource:
        kind = urn.split("::")[2].split("$")[-1]
        if kind not in self._resources:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown resource type {kind!r}")
        return self._resources[kind]

    def _log(self, urn: str) -> Log:
        def log(text: str) -> None:
            if self._engine:
                self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn, ephemeral=True))

        return log

    def Attach(self, request, context):  # noqa: N802 - names of the protocol
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        return empty_pb2.Empty()

    def GetPluginInfo(self, request, context):  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._version)

    def CheckConfig(self, request, context):  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):  # noqa: N802
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request, context):  # noqa: N802
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Cancel(self, request, context):  # noqa: N802
        return empty_pb2.Empty()

    def Check(self, request, context):  # noqa: N802
        resource = self._resource(request.urn, context)
        inputs, failures = check(resource.inputs, from_wire(request.news))
        return provider_pb2.CheckResponse(
            inputs=to_wire(inputs),
            failures=[provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in failures],
        )

    def Diff(self, request, context):  # noqa: N802
        resource = self._resource(request.urn, context)
        old, new = plain(from_wire(request.olds)), plain(from_wire(request.news))
        changed = [name for name in resource.inputs if old.get(name) != new.get(name)]
        kinds = provider_pb2.PropertyDiff
        detailed, replaces = {}, []
        for name in changed:
            replace = resource.update is None or resource.inputs[name].replaces
            kind = "ADD" if name not in old else "DELETE" if name not in new else "UPDATE"
            detailed[name] = kinds(kind=getattr(kinds, kind + ("_REPLACE" if replace else "")), inputDiff=True)
            replaces += [name] if replace else []
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed, replaces=replaces, detailedDiff=detailed, hasDetailedDiff=True,
        )  # fmt: skip

    def Create(self, request, context):  # noqa: N802
        resource, given = self._resource(request.urn, context), from_wire(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_wire(given | dict.fromkeys(resource.outputs, UNKNOWN)))
        outputs = self._act(context, lambda: resource.create(plain(given), self._log(request.urn)))
        name = request.urn.rpartition("::")[2]
        return provider_pb2.CreateResponse(id=name + secrets.token_hex(4), properties=to_wire(given | outputs))

    def Update(self, request, context):  # noqa: N802
        resource, given = self._resource(request.urn, context), from_wire(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=to_wire(given | dict.fromkeys(resource.outputs, UNKNOWN)))
        old = plain(from_wire(request.olds))
        assert resource.update is not None
        outputs = self._act(context, lambda: resource.update(old, plain(given), self._log(request.urn)))
        return provider_pb2.UpdateResponse(properties=to_wire(given | outputs))

    def Read(self, request, context):  # noqa: N802
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request, context):  # noqa: N802
        resource, state = self._resource(request.urn, context), plain(from_wire(request.properties))
        self._act(context, lambda: resource.delete(state, self._log(request.urn)) or {})
        return empty_pb2.Empty()

    @staticmethod
    def _act(context: grpc.ServicerContext, action: Callable[[], Values]) -> Values:
        try:
            return action()
        except (RuntimeError, OSError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise


#: As the published providers, a stand-in ends when its engine is gone, so a killed engine leaves none behind.
LOOK_SECONDS = 2


def _end_with(address: str, server: grpc.Server) -> None:
    """Look for the engine from time to time, and stop serving once it is gone."""
    host, _, port = address.rpartition(":")
    gone = threading.Event()
    while not gone.wait(LOOK_SECONDS):
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError:
            server.stop(None)
            gone.set()


def serve(version: str, resources: dict[str, Resource]) -> None:
    """Serve until the engine goes; its address is the program's one argument."""
    address = next((argument for argument in sys.argv[1:] if ":" in argument), None)
    options = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(version, resources, address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    if address:
        threading.Thread(target=_end_with, args=(address, server), daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
    os._exit(0)  # a command that still runs must not keep the process
