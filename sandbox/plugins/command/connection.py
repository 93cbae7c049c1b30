"""SSH as the published plugin does it: same inputs, same retries, one connection a command."""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any

import paramiko

from ..checking import Property
from ..resource import Log

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


def _key(text: str, password: str | None) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password)
        except paramiko.SSHException:
            continue
    raise RuntimeError("ssh: no key found")


def _transport(connection: dict[str, Any], sock: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock)
    expected = connection.get("hostKey")
    if expected:
        kind, blob = expected.split()[:2]
        try:
            transport.get_security_options().key_types = [kind]  # for an RSA key that is SHA-1, as published
        except ValueError:
            raise RuntimeError("ssh: handshake failed: ssh: no common algorithm for host key") from None
    transport.start_client(timeout=connection["perDialTimeout"] or None)
    if expected and transport.get_remote_server_key().get_base64() != blob:
        transport.close()
        raise RuntimeError("ssh: handshake failed: ssh: host key mismatch")
    if connection.get("privateKey"):
        transport.auth_publickey(
            connection["user"], _key(connection["privateKey"], connection.get("privateKeyPassword"))
        )
    elif connection.get("password"):
        transport.auth_password(connection["user"], connection["password"])
    else:
        keys = paramiko.Agent().get_keys()
        if not keys:
            raise RuntimeError("ssh: handshake failed: ssh: unable to authenticate, attempted methods [none]")
        transport.auth_publickey(connection["user"], keys[0])
    return transport


def _dial(connection: dict[str, Any], log: Log, through: paramiko.Transport | None) -> paramiko.Transport:
    address = (connection["host"], int(connection["port"]))
    limit = int(connection["dialErrorLimit"])
    attempt = 0
    while True:
        attempt += 1
        try:
            if through:
                sock: Any = through.open_channel("direct-tcpip", address, ("127.0.0.1", 0))
            else:
                sock = socket.create_connection(address, timeout=connection["perDialTimeout"] or None)
            return _transport(connection, sock)
        except (OSError, EOFError, RuntimeError, paramiko.SSHException) as error:
            if limit > -1 and attempt > limit:
                raise RuntimeError(f"after {attempt - 1} failed attempts: {error}") from None
            log(f"Dial {attempt}/{'inf' if limit == -1 else limit} failed: retrying")
            time.sleep(min(0.1 * 1.5**attempt, 5))  # the published plugin's back-off


def dial(connection: dict[str, Any], log: Log) -> paramiko.Transport:
    """A connection, through the proxy if one is given. Raises RuntimeError when the limit is reached."""
    proxy = connection.get("proxy")
    return _dial(connection, log, _dial(proxy, log, None) if proxy else None)


def run(
    connection: dict[str, Any],
    command: str,
    stdin: str,
    environment: dict[str, str],
    logged: tuple[str, ...],
    log: Log,
) -> tuple[int, str, str, str]:
    """Run a command; returns exit status, stdout, stderr, and both as they came. `log` gets their lines."""
    transport = dial(connection, log)
    try:
        channel = transport.open_session()
        for name, value in environment.items():
            try:
                channel.set_environment_variable(name, value)
            except paramiko.SSHException as error:
                raise RuntimeError(f'could not set environment variable "{name}": {error}') from None
        channel.exec_command(command)
        writer = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
        writer.start()
        return _collect(channel, logged, log)
    finally:
        transport.close()


def _feed(channel: paramiko.Channel, stdin: str) -> None:
    try:
        channel.sendall(stdin.encode())
        channel.shutdown_write()
    except OSError:
        return  # the command ended without reading it all


def _collect(channel: paramiko.Channel, logged: tuple[str, ...], log: Log) -> tuple[int, str, str, str]:
    streams = {"out": bytearray(), "err": bytearray(), "both": bytearray()}
    lock = threading.Lock()
    line = bytearray()

    def take(name: str, block: bytes) -> None:
        with lock:
            streams[name] += block
            streams["both"] += block
            if name in logged:
                line.extend(block)
            while b"\n" in line:
                text, _, rest = bytes(line).partition(b"\n")
                line[:] = rest
                log(text.decode(errors="replace"))

    def drain(name: str, receive: Any) -> None:
        while block := receive(32768):
            take(name, block)

    threads = [
        threading.Thread(target=drain, args=("out", channel.recv)),
        threading.Thread(target=drain, args=("err", channel.recv_stderr)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = channel.recv_exit_status()
    if line:
        log(line.decode(errors="replace"))
    out, err, both = (bytes(streams[name]).decode(errors="replace") for name in ("out", "err", "both"))
    return status, out, err, both
