"""A resource provider over gRPC: what every stand-in shares. A resource says what it takes and does."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from grpc import ServicerContext as Context
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as rpc

from .values import UNKNOWN, from_wire, has_unknown, plain, secret, to_wire

Values = dict[str, Any]
T = TypeVar("T")
Log = Callable[[str], None]


@dataclass(frozen=True)
class Property:
    """An input as the published schema has it; `fields` for an object, `items` for a list of them."""

    kind: type | tuple[type, ...]
    required: bool = False
    secret: bool = False
    replaces: bool = False
    default: Any = None
    fields: dict[str, Property] | None = None
    items: Property | None = None
    #: The values it may have, where the provider checks that itself.
    choices: tuple[str, ...] = ()


class Resource(ABC):
    """One resource type. Without `update`, every change replaces."""

    inputs: dict[str, Property]
    outputs: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()
    #: Those that an update never changes, so that a preview knows them.
    stable_outputs: tuple[str, ...] = ()
    #: The input that the provider fills with a name of its own where the program gives none.
    autonamed: str = ""

    @abstractmethod
    def create(self, inputs: Values, log: Log) -> Values:
        """Do it; returns outputs beside the inputs. Raises RuntimeError with the provider's words."""

    update: Callable[[Values, Values, Log], Values] | None = None

    def delete(self, state: Values, log: Log) -> None:
        """Undo it, from the old state."""
        return

    def id_of(self, name: str, properties: Values) -> str:
        """The resource's id, from inputs and outputs; `name` is its name in the program."""
        return name + secrets.token_hex(4)


@dataclass(frozen=True)
class Provider:
    """All that a stand-in is: resources by type, functions by token, and how it takes its configuration."""

    version: str
    resources: dict[str, Resource]
    config: dict[str, Property] | None = None
    configure: Callable[[Values], None] = lambda config: None
    functions: dict[str, Callable[[Values], Values]] = field(default_factory=dict)
    secret_results: tuple[str, ...] = ()
    #: For a plugin that becomes another package by its parameter: its name and version from that.
    parameterize: Callable[[bytes], tuple[str, str]] | None = None


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
        if given == UNKNOWN or (has_unknown(given) and not wanted.fields and not wanted.items):
            continue
        of_kind = isinstance(given, wanted.kind)
        if not of_kind:
            failures.append((path + name, f"wrong type: {type(given).__name__}"))
        elif wanted.choices and given not in wanted.choices:
            failures.append((path + name, f"expected {path + name} to be one of {list(wanted.choices)}, got {given}"))
        elif wanted.fields:
            inner, wrong = check(wanted.fields, given, f"{path}{name}.")
            failures += wrong
            filled[name] = inner
        elif wanted.items:
            for number, item in enumerate(given):
                _, wrong = check({str(number): wanted.items}, {str(number): item}, f"{path}{name}.")
                failures += wrong
        if wanted.secret:
            filled[name] = secret(filled[name])
    return filled, failures


def _failures(found: list[tuple[str, str]]) -> list[rpc.CheckFailure]:
    return [rpc.CheckFailure(property=name, reason=reason) for name, reason in found]


def _marked(values: Values, names: tuple[str, ...]) -> Values:
    """The values with those of these names marked as secret."""
    return {name: secret(value) if name in names else value for name, value in values.items()}


def _decoded(properties: dict[str, Property], values: Values) -> Values:
    """A provider's configuration, whose values that are no text arrive as JSON."""
    found = {}
    for name, value in values.items():
        kind = properties[name].kind if name in properties else str
        text = plain(value)
        found[name] = json.loads(text) if kind is not str and isinstance(text, str) and text != UNKNOWN else value
    return found


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Speaks the engine's protocol for a set of resource types."""

    def __init__(self, provider: Provider, engine: str | None) -> None:
        self._provider = provider
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None

    def _resource(self, urn: str, context: Context) -> Resource:
        kind = urn.split("::")[2].split("$")[-1]
        if kind not in self._provider.resources:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown resource type {kind!r}")
        return self._provider.resources[kind]

    def _log(self, urn: str) -> Log:
        def log(text: str) -> None:
            if self._engine:
                self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn, ephemeral=True))

        return log

    # The names are the protocol's.
    def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:  # noqa: N802
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def Parameterize(self, request: rpc.ParameterizeRequest, context: Context) -> rpc.ParameterizeResponse:  # noqa: N802
        parameterize = self._provider.parameterize
        if parameterize is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this provider takes no parameter")
            raise AssertionError
        name, version = self._act(context, lambda: parameterize(request.value.value))
        return rpc.ParameterizeResponse(name=name, version=version)

    def CheckConfig(self, request: rpc.CheckRequest, context: Context) -> rpc.CheckResponse:  # noqa: N802
        failures: list[tuple[str, str]] = []
        if self._provider.config is not None:
            given = {name: value for name, value in from_wire(request.news).items() if name != "version"}
            _, failures = check(self._provider.config, _decoded(self._provider.config, given))
        return rpc.CheckResponse(inputs=request.news, failures=_failures(failures))

    def DiffConfig(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:  # noqa: N802
        return rpc.DiffResponse(changes=rpc.DiffResponse.DIFF_NONE)

    def Configure(self, request: rpc.ConfigureRequest, context: Context) -> rpc.ConfigureResponse:  # noqa: N802
        config = plain(_decoded(self._provider.config or {}, from_wire(request.args)))
        self._act(context, lambda: self._provider.configure(config))
        return rpc.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()

    def Check(self, request: rpc.CheckRequest, context: Context) -> rpc.CheckResponse:  # noqa: N802
        resource = self._resource(request.urn, context)
        inputs, failures = check(resource.inputs, from_wire(request.news))
        if resource.autonamed and resource.autonamed not in inputs:
            old = plain(from_wire(request.olds)).get(resource.autonamed)
            inputs[resource.autonamed] = old or f"{request.urn.rpartition('::')[2]}-{secrets.token_hex(4)[:7]}"
        return rpc.CheckResponse(inputs=to_wire(inputs), failures=_failures(failures))

    def Invoke(self, request: rpc.InvokeRequest, context: Context) -> rpc.InvokeResponse:  # noqa: N802
        function = self._provider.functions.get(request.tok)
        if function is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown function {request.tok!r}")
            raise AssertionError
        result = self._act(context, lambda: function(plain(from_wire(request.args))))
        return rpc.InvokeResponse(**{"return": to_wire(_marked(result, self._provider.secret_results))})

    def Diff(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:  # noqa: N802
        resource = self._resource(request.urn, context)
        old = plain(from_wire(request.old_inputs if request.HasField("old_inputs") else request.olds))
        new = plain(from_wire(request.news))
        changed = [name for name in resource.inputs if old.get(name) != new.get(name)]
        kinds = rpc.PropertyDiff
        detailed, replaces = {}, []
        for name in changed:
            replace = resource.update is None or resource.inputs[name].replaces
            kind = "ADD" if name not in old else "DELETE" if name not in new else "UPDATE"
            detailed[name] = kinds(kind=getattr(kinds, kind + ("_REPLACE" if replace else "")), inputDiff=True)
            replaces += [name] if replace else []
        response = rpc.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed, replaces=replaces, detailedDiff=detailed, hasDetailedDiff=True,
        )  # fmt: skip

    def Create(self, request: rpc.CreateRequest, context: Context) -> rpc.CreateResponse:  # noqa: N802
        resource, given = self._resource(request.urn, context), from_wire(request.properties)
        if request.preview:
            return rpc.CreateResponse(properties=to_wire(given | dict.fromkeys(resource.outputs, UNKNOWN)))
        outputs = self._act(context, lambda: resource.create(plain(given), self._log(request.urn)))
        made = given | outputs
        number = resource.id_of(request.urn.rpartition("::")[2], plain(made))
        return rpc.CreateResponse(id=number, properties=to_wire(_marked(made, resource.secret_outputs)))

    def Update(self, request: rpc.UpdateRequest, context: Context) -> rpc.UpdateResponse:  # noqa: N802
        resource, given, olds = self._resource(request.urn, context), from_wire(request.news), from_wire(request.olds)
        if request.preview:
            kept = {name: value for name, value in olds.items() if name in resource.stable_outputs}
            preview = given | dict.fromkeys(resource.outputs, UNKNOWN) | kept
            return rpc.UpdateResponse(properties=to_wire(preview))
        old = plain(olds)
        update = resource.update
        assert update is not None
        outputs = self._act(context, lambda: update(old, plain(given), self._log(request.urn)))
        return rpc.UpdateResponse(properties=to_wire(_marked(given | outputs, resource.secret_outputs)))

    def Read(self, request: rpc.ReadRequest, context: Context) -> rpc.ReadResponse:  # noqa: N802
        return rpc.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request: rpc.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        resource, state = self._resource(request.urn, context), plain(from_wire(request.properties))
        self._act(context, lambda: resource.delete(state, self._log(request.urn)))
        return empty_pb2.Empty()

    @staticmethod
    def _act(context: Context, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:  # whatever the service or the network said is the resource's error
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


def serve(provider: Provider) -> None:
    """Serve until the engine goes; its address is the program's one argument."""
    address = next((argument for argument in sys.argv[1:] if ":" in argument), None)
    options = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider, address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    if address:
        threading.Thread(target=_end_with, args=(address, server), daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
    os._exit(0)  # a command that still runs must not keep the process
