"""This module has the engine's side of the protocol, for tests of the stand-ins: plain values in and out."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from pulumi.runtime.proto import provider_pb2 as rpc

from sandbox.plugins.checking import Values
from sandbox.plugins.resource import Provider
from sandbox.plugins.serving import Servicer
from sandbox.plugins.values import from_wire, plain, to_wire


class Refused(Exception):
    """A `Refused` is what the plugin answered instead: gRPC's code, and the message."""

    def __init__(self, code: grpc.StatusCode, said: str) -> None:
        super().__init__(said)
        self.code = code


class _Call:
    def abort(self, code: grpc.StatusCode, said: str) -> NoReturn:
        raise Refused(code, said)


class Speaker:
    """A `Speaker` asks a plugin for one resource type; a state is what the engine would keep of it."""

    def __init__(self, provider: Provider, token: str, name: str = "n") -> None:
        self._plugin: Any = Servicer(provider, None)
        self._urn = f"urn:pulumi:s::p::{token}::{name}"

    def check(self, inputs: Values, old: Values | None = None) -> Values:
        """Return the checked inputs; raise AssertionError with what is wrong with them."""
        request = rpc.CheckRequest(urn=self._urn, news=to_wire(inputs), olds=to_wire(old or {}))
        answer = self._plugin.Check(request, _Call())
        assert not answer.failures, [(failure.property, failure.reason) for failure in answer.failures]
        return from_wire(answer.inputs)

    def create(self, inputs: Values) -> tuple[str, Values]:
        """Return the id and the state, from inputs as the program gives them."""
        request = rpc.CreateRequest(urn=self._urn, properties=to_wire(self.check(inputs)))
        answer = self._plugin.Create(request, _Call())
        return answer.id, from_wire(answer.properties)

    def diff(self, state: Values, inputs: Values, old: Values | None = None) -> rpc.DiffResponse:
        """Return what inputs, as the program gives them, change in a state that was made from the old ones."""
        old = self.check(inputs) if old is None else old
        request = rpc.DiffRequest(
            urn=self._urn, id="i", olds=to_wire(state), old_inputs=to_wire(old), news=to_wire(self.check(inputs, old))
        )
        answer: rpc.DiffResponse = self._plugin.Diff(request, _Call())
        return answer

    def update(self, state: Values, inputs: Values) -> Values:
        request = rpc.UpdateRequest(urn=self._urn, id="i", olds=to_wire(state), news=to_wire(self.check(inputs)))
        return from_wire(self._plugin.Update(request, _Call()).properties)

    def read(self, state: Values, inputs: Values) -> tuple[Values, Values] | None:
        """Return state and inputs after a refresh, or None where the resource is gone."""
        request = rpc.ReadRequest(
            urn=self._urn, id="i", properties=to_wire(state), inputs=to_wire(self.check(inputs) if inputs else {})
        )
        answer = self._plugin.Read(request, _Call())
        return (plain(from_wire(answer.properties)), plain(from_wire(answer.inputs))) if answer.id else None

    def delete(self, state: Values) -> None:
        self._plugin.Delete(rpc.DeleteRequest(urn=self._urn, id="i", properties=to_wire(state)), _Call())


def check_config(provider: Provider, config: dict[str, str]) -> list[str]:
    """Return what is wrong with a provider's own settings, which the engine sends as text."""
    request = rpc.CheckRequest(urn="urn:pulumi:s::p::pulumi:providers:x::default", news=to_wire(config))
    plugin: Any = Servicer(provider, None)
    return [failure.reason for failure in plugin.CheckConfig(request, _Call()).failures]


def configure(provider: Provider, config: dict[str, str]) -> None:
    plugin: Any = Servicer(provider, None)
    plugin.Configure(rpc.ConfigureRequest(args=to_wire(config)), _Call())
