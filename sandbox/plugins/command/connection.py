"""This module connects as the published plugin does: same inputs, same order, same retries, one connection a command.

pulumi-command, provider/pkg/provider/remote/connection.go; the words are golang.org/x/crypto/ssh's.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import paramiko
from paramiko.agent import AgentSSH
from paramiko.common import MSG_CHANNEL_FAILURE, MSG_CHANNEL_REQUEST

from ..checking import Property, Values
from ..resource import Log

T = TypeVar("T")

_BASE = {
    "user": Property(str, default="root"),
    "password": Property(str, secret=True),
    "host": Property(str, required=True),
    "port": Property((int, float), default=22),
    "privateKey": Property(str, secret=True),
    "privateKeyPassword": Property(str, secret=True),
    "agentSocketPath": Property(str),
    "dialErrorLimit": Property(int, default=10),
    "perDialTimeout": Property(int, default=15),
    "hostKey": Property(str),
}
CONNECTION = Property(dict, required=True, secret=True, fields={**_BASE, "proxy": Property(dict, fields=_BASE)})


def _heed(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Note by which signal a command was killed, which paramiko passes over."""
    start = message.packet.tell()
    if message.get_text() == "exit-signal" and not message.get_boolean():
        name, _, reason = message.get_text(), message.get_boolean(), message.get_text()
        channel.transport.signals[channel.chanid] = (name, reason)
    message.packet.seek(start)
    paramiko.Channel._handle_request(channel, message)


def _note_refusal(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Leave the channel open, which paramiko closes: the plugin goes on without a variable."""
    channel.refused = True
    channel._request_success(message)


class Transport(paramiko.Transport):  # type: ignore[misc]
    """A `Transport` is a connection that keeps what paramiko does not tell."""

    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_REQUEST: _heed,
        MSG_CHANNEL_FAILURE: _note_refusal,
    }

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        #: By channel, the signal that ended its command, and the server's reason.
        self.signals: dict[int, tuple[str, str]] = {}


@dataclass
class _Peer:
    """A `_Peer` is a server and all that it is to be met with."""

    connection: Values
    host_key: tuple[str, str] | None = None
    #: Ways to authenticate in the published plugin's order: SSH's name of the way, and keys for it.
    ways: list[tuple[str, list[paramiko.PKey]]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.connection["host"], int(self.connection["port"])


def _prepared(connection: Values) -> _Peer:
    """Return how to meet a server; raise RuntimeError at once, before anything is dialled, where something is wrong."""
    peer = _Peer(connection)
    if connection.get("hostKey") is not None:
        peer.host_key = _host_key(connection["hostKey"])
    if connection.get("privateKey") is not None:
        peer.ways.append(("publickey", [_key(connection["privateKey"], connection.get("privateKeyPassword"))]))
    if connection.get("password") is not None:
        peer.ways.append(("password", []))
    path = connection.get("agentSocketPath")
    if path is None:
        path = os.environ.get("SSH_AUTH_SOCK") or None
    if path is not None:
        peer.ways.append(("publickey", _agent_keys(path)))
    return peer


def _host_key(text: str) -> tuple[str, str]:
    parts = text.split()
    with contextlib.suppress(ValueError, IndexError):
        base64.b64decode(parts[1], validate=True)
        return parts[0], parts[1]
    raise RuntimeError("failed to parse host key: ssh: no key found")


def _key(text: str, password: str | None) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password)
        except paramiko.PasswordRequiredException:
            raise RuntimeError("ssh: this private key is passphrase protected") from None
        except paramiko.SSHException:
            continue
    raise RuntimeError("ssh: no key found")


def _agent_keys(path: str) -> list[paramiko.PKey]:
    """Return the keys of the agent, which is dialled wherever there may be one, whatever else is given."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise RuntimeError(f"dial unix {path}: connect: {_words(error)}") from None
    agent = AgentSSH()
    agent._connect(sock)
    return list(agent.get_keys())


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _tcp(peer: _Peer) -> socket.socket:
    host, port = peer.address
    try:
        return socket.create_connection(peer.address, timeout=peer.connection["perDialTimeout"] or None)
    except TimeoutError:
        raise RuntimeError(f"dial tcp {host}:{port}: i/o timeout") from None
    except socket.gaierror:
        raise RuntimeError(f"dial tcp: lookup {host}: no such host") from None
    except OSError as error:
        raise RuntimeError(f"dial tcp {host}:{port}: connect: {_words(error)}") from None


def _handshake(peer: _Peer, sock: Any) -> Transport:
    transport = Transport(sock)
    try:
        if peer.host_key:
            # For an RSA key that is SHA-1, as published.
            transport.get_security_options().key_types = [peer.host_key[0]]
        transport.start_client(timeout=peer.connection["perDialTimeout"] or None)
        if peer.host_key and transport.get_remote_server_key().get_base64() != peer.host_key[1]:
            raise RuntimeError("ssh: host key mismatch")
        _authenticate(transport, peer)
    except (OSError, EOFError, RuntimeError, ValueError, paramiko.SSHException) as error:
        transport.close()
        sock.close()
        said = str(error) or "EOF"
        if peer.host_key and "no acceptable host key" in said:
            said = f"ssh: no common algorithm for host key; we offered: [{peer.host_key[0]}]"
        raise RuntimeError(f"ssh: handshake failed: {said}") from None
    return transport


def _authenticate(transport: Transport, peer: _Peer) -> None:
    """Try without anything, then each way once: an agent's keys are not tried after a private key."""
    user, tried, allowed = peer.connection["user"], ["none"], ["publickey", "password"]
    try:
        transport.auth_none(user)
        return
    except paramiko.BadAuthenticationType as error:
        allowed = error.allowed_types
    for way, keys in peer.ways:
        if way in tried or way not in allowed:
            continue
        attempts = [partial(transport.auth_publickey, user, key) for key in keys]
        if way == "password":
            attempts = [partial(transport.auth_password, user, peer.connection["password"])]
        for attempt in attempts:
            with contextlib.suppress(paramiko.AuthenticationException):
                attempt()
                return
        tried.append(way)
    raise RuntimeError(
        f"ssh: unable to authenticate, attempted methods [{' '.join(tried)}], no supported methods remain"
    )


def _retried(what: str, connection: Values, log: Log, attempt: Callable[[], T]) -> T:
    limit, tries = int(connection["dialErrorLimit"]), 0
    while True:
        tries += 1
        try:
            return attempt()
        except RuntimeError as error:
            if -1 < limit < tries:
                raise RuntimeError(f"after {tries - 1} failed attempts: {error}") from None
            log(f"{what} {tries}/{'inf' if limit == -1 else limit} failed: retrying")
            time.sleep(min(0.1 * 1.5**tries, 5))  # the published plugin's back-off


def _through(transport: Transport, peer: _Peer) -> paramiko.Channel:
    try:
        return transport.open_channel("direct-tcpip", peer.address, ("127.0.0.1", 0))
    except paramiko.ChannelException as error:
        raise RuntimeError(f"ssh: rejected: {error.text.lower()}") from None
    except paramiko.SSHException as error:
        raise RuntimeError(str(error)) from None


def dial(connection: Values, log: Log) -> Transport:
    """Return a connection, through the proxy if one is given; raise RuntimeError when the limit is reached."""
    peer, proxy = _prepared(connection), connection.get("proxy")
    if not proxy:
        return _retried("Dial", connection, log, lambda: _handshake(peer, _tcp(peer)))
    try:
        first = _prepared(proxy)
        between = _retried("Dial proxy", proxy, log, lambda: _handshake(first, _tcp(first)))
        channel = _retried("Dial from proxy", connection, log, lambda: _through(between, peer))
        return _retried("Dial", connection, log, lambda: _handshake(peer, channel))
    except RuntimeError as error:
        raise RuntimeError(f"proxy: {error}") from None
