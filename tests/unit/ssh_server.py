"""This module has a small SSH server, for tests of what speaks SSH: it knows a few commands by name."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import DEFAULT_WINDOW_SIZE, MSG_CHANNEL_REQUEST, cMSG_CHANNEL_REQUEST

MEBIBYTE = 1 << 20


class Server(paramiko.ServerInterface):  # type: ignore[misc]
    """A `Server` takes one key and one password, variables that begin with OK, and the commands below."""

    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key == self._key else paramiko.AUTH_FAILED  # type: ignore[no-any-return]

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == "right" else paramiko.AUTH_FAILED  # type: ignore[no-any-return]

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED  # type: ignore[no-any-return]

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        return name.startswith(b"OK")

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        channel.command = COMMANDS[command.decode()]
        return True


def _begin(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Run a command once the client has the answer that it has begun, which paramiko sends in here."""
    paramiko.Channel._handle_request(channel, message)
    if command := channel.__dict__.pop("command", None):
        threading.Thread(target=_act, args=(channel, command), daemon=True).start()


class Transport(paramiko.Transport):  # type: ignore[misc]
    """A `Transport` is the server's side of a connection."""

    _channel_handler_table = {**paramiko.Transport._channel_handler_table, MSG_CHANNEL_REQUEST: _begin}


def _act(channel: paramiko.Channel, command: Callable[[Any], int | None]) -> None:
    status = command(channel)
    if status is not None:
        channel.send_exit_status(status)
    channel.close()


def mixed(channel: Any) -> int:
    channel.sendall(b"out\n")
    time.sleep(0.1)
    channel.sendall_stderr(b"err\r\n")
    time.sleep(0.1)
    channel.sendall(b"last")
    return 0


def fails(channel: Any) -> int:
    mixed(channel)
    return 3


def killed(channel: Any, name: str = "KILL", reason: str = "") -> None:
    channel.sendall(b"x\n")
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    for part in ("exit-signal", False, name, False, reason, ""):
        (message.add_boolean if isinstance(part, bool) else message.add_string)(part)
    channel.transport._send_user_message(message)


def latin(channel: Any) -> int:
    channel.sendall(b"caf\xe9\n")
    return 0


def deaf(channel: Any) -> int:
    """Read nothing, and end once nothing more can be sent."""
    deadline = time.monotonic() + 10
    while len(channel.in_buffer) < DEFAULT_WINDOW_SIZE and time.monotonic() < deadline:
        time.sleep(0.01)
    return 0


def counts(channel: Any) -> int:
    read = 0
    while block := channel.recv(32768):
        read += len(block)
    channel.sendall(str(read).encode())
    return 0


COMMANDS: dict[str, Callable[[Any], int | None]] = {
    "mixed": mixed,
    "fails 'a' \"b\" é \x01 \t $x": fails,
    "killed": killed,
    "killed oddly": lambda channel: killed(channel, "USR1", "because"),
    "vanishes": lambda channel: None,
    "latin": latin,
    "deaf": deaf,
    "counts": counts,
    "long": lambda channel: channel.sendall(b"y" * 65535 + b"\n") or 0,
    "too long": lambda channel: channel.sendall(b"y" * 65536 + b"\n") or 0,
}


@contextlib.contextmanager
def served(file: Path) -> Iterator[dict[str, Any]]:
    """Run a server and yield how to reach it; its key is written to the file."""
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(file))
    kept: list[Any] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            transport = Transport(sock)
            transport.add_server_key(key)
            kept.append(transport)
            threading.Thread(target=meet, args=(transport,), daemon=True).start()

    def meet(transport: paramiko.Transport) -> None:
        try:
            transport.start_server(server=Server(key))
            while channel := transport.accept(30):
                kept.append(channel)  # paramiko closes what nobody holds
        except (EOFError, paramiko.SSHException):
            transport.close()

    threading.Thread(target=serve, daemon=True).start()
    yield {
        "host": "127.0.0.1", "port": listener.getsockname()[1], "user": "u", "privateKey": file.read_text(),
        "dialErrorLimit": 1, "perDialTimeout": 5,
    }  # fmt: skip
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for one in kept:
        one.close()
