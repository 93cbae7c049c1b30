"""This module speaks the engine's protocol over gRPC, in the same way for every stand-in."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

import grpc
from google.protobuf import empty_pb2
from grpc import ServicerContext as Context
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as rpc

from . import settings
from .checking import Values, check
from .resource import Log, Provider, Resource
from .values import DEFAULTS, UNKNOWN, from_wire, marked, plain, refreshed, secret_names, to_wire

T = TypeVar("T")


def _failures(found: list[tuple[str, str]]) -> list[rpc.CheckFailure]:
    return [rpc.CheckFailure(property=name, reason=reason) for name, reason in found]


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
        provider, wrong = self._provider, []
        if provider.config is not None:
            news = {name: value for name, value in from_wire(request.news).items() if name != "version"}
            given = settings.decoded(provider.config, news)
            _, found = check(provider.config, given)
            if reason := self._act(context, lambda: provider.validate(plain(given))):
                wrong = [reason]
            else:
                wrong = [settings.wrong(provider.namespace, *failure) for failure in found]
        # No property is named, as published.
        return rpc.CheckResponse(inputs=request.news, failures=_failures([("", reason) for reason in wrong]))

    def DiffConfig(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:  # noqa: N802
        old = from_wire(request.old_inputs if request.HasField("old_inputs") else request.olds)
        new = from_wire(request.news)
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        kind = rpc.DiffResponse.DIFF_SOME if changed else rpc.DiffResponse.DIFF_NONE
        return rpc.DiffResponse(changes=kind, diffs=changed)  # no setting replaces a provider

    def Configure(self, request: rpc.ConfigureRequest, context: Context) -> rpc.ConfigureResponse:  # noqa: N802
        config = plain(settings.decoded(self._provider.config or {}, from_wire(request.args)))
        self._act(context, lambda: self._provider.configure(config))
        return rpc.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()

    def Check(self, request: rpc.CheckRequest, context: Context) -> rpc.CheckResponse:  # noqa: N802
        resource = self._resource(request.urn, context)
        inputs, failures = check(resource.inputs, resource.fill(from_wire(request.news)))
        if resource.autonamed:
            self._name(resource.autonamed, inputs, request)
        return rpc.CheckResponse(inputs=to_wire(inputs), failures=_failures(failures))

    @staticmethod
    def _name(key: str, inputs: Values, request: rpc.CheckRequest) -> None:
        """Put in a name of the provider's own where the program gives none; one that it made before stays."""
        inputs[DEFAULTS] = []
        if key in inputs:
            return
        old = plain(from_wire(request.olds))
        mine = old.get(key) if key in old.get(DEFAULTS, [key]) else None
        inputs[key] = mine or f"{request.urn.rpartition('::')[2]}-{secrets.token_hex(4)[:7]}"
        inputs[DEFAULTS] = [key]

    def Invoke(self, request: rpc.InvokeRequest, context: Context) -> rpc.InvokeResponse:  # noqa: N802
        function = self._provider.functions.get(request.tok)
        if function is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown function {request.tok!r}")
            raise AssertionError
        result = self._act(context, lambda: function(plain(from_wire(request.args))))
        return rpc.InvokeResponse(**{"return": to_wire(marked(result, self._provider.secret_results))})

    def Diff(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:  # noqa: N802
        resource = self._resource(request.urn, context)
        state, new = plain(from_wire(request.olds)), plain(from_wire(request.news))
        old = resource.past(state, plain(from_wire(request.old_inputs)) if request.HasField("old_inputs") else state)
        changed = [name for name in resource.inputs if not resource.same(name, old.get(name), new.get(name))]
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
            deleteBeforeReplace=bool(replaces) and resource.goes_first(new),
        )  # fmt: skip

    def Create(self, request: rpc.CreateRequest, context: Context) -> rpc.CreateResponse:  # noqa: N802
        resource, given = self._resource(request.urn, context), from_wire(request.properties)
        if request.preview:
            return rpc.CreateResponse(properties=to_wire(given | dict.fromkeys(resource.outputs, UNKNOWN)))
        outputs = self._act(context, lambda: resource.create(plain(given), self._log(request.urn)))
        made = given | outputs
        number = resource.id_of(request.urn.rpartition("::")[2], plain(made))
        return rpc.CreateResponse(id=number, properties=to_wire(marked(made, resource.secret_outputs)))

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
        return rpc.UpdateResponse(properties=to_wire(marked(given | outputs, resource.secret_outputs)))

    def Read(self, request: rpc.ReadRequest, context: Context) -> rpc.ReadResponse:  # noqa: N802
        resource = self._resource(request.urn, context)
        read, imported = resource.read, resource.imported
        state, inputs = from_wire(request.properties), from_wire(request.inputs)
        if read is None:
            return rpc.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        if not state:
            if imported is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "the stand-in imports nothing of this type")
            assert imported
            state = imported(request.id)
        found = self._act(context, lambda: read(plain(state)))
        if found is None:
            return rpc.ReadResponse()
        now = plain(state) | found
        if not inputs:
            inputs = {name: value for name, value in now.items() if name in resource.inputs}
        return rpc.ReadResponse(
            id=request.id, properties=to_wire(marked(now, secret_names(state))),
            inputs=to_wire(marked(refreshed(plain(inputs), now), secret_names(inputs))),
        )  # fmt: skip

    def Delete(self, request: rpc.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        resource, state = self._resource(request.urn, context), plain(from_wire(request.properties))
        self._act(context, lambda: resource.delete(state, self._log(request.urn)))
        return empty_pb2.Empty()

    @staticmethod
    def _act(context: Context, action: Callable[[], T]) -> T:
        try:
            return action()
        except UnicodeDecodeError:
            context.abort(grpc.StatusCode.INTERNAL, "grpc: error while marshaling: string field contains invalid UTF-8")
            raise
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
