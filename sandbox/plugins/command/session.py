"""This module runs one command over SSH, as golang.org/x/crypto/ssh and commandOutputs.go of the plugin do."""

from __future__ import annotations

import signal
import threading
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from ..checking import Values
from ..resource import Log
from .connection import Transport, dial
from .output import Output

#: Go's numbers of signals; of others a status says nothing but 128.
_SIGNALS = ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM")


def run(command: str, inputs: Values, previous: Values, log: Log) -> Values:
    """Run a command and return its outputs; raise RuntimeError in Go's words."""
    transport = dial(inputs["connection"], log)
    try:
        channel = transport.open_session()
        for name, value in (inputs.get("environment") or {}).items():
            if not _set(channel, name, value):
                raise RuntimeError(f'could not set environment variable "{name}": ssh: setenv failed')
        for name, value in previous.items():
            if not _set(channel, name, value):
                log(f"Unable to set '{name}'. This only works if your SSH server is configured to accept it")
        return _finish(transport, channel, command, inputs, log)
    finally:
        transport.close()


def _set(channel: paramiko.Channel, name: str, value: str) -> bool:
    """Ask for a variable and return whether the server takes it: paramiko's own way does not wait for the answer."""
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("env")
    message.add_boolean(True)
    message.add_string(name)
    message.add_string(value)
    return _accepted(channel, lambda: channel.transport._send_user_message(message))


def _accepted(channel: paramiko.Channel, request: Any) -> bool:
    channel.refused = False
    channel._event_pending()
    request()
    channel._wait_for_event()
    return not channel.refused


def _finish(transport: Transport, channel: paramiko.Channel, command: str, inputs: Values, log: Log) -> Values:
    output = Output(inputs.get("logging"), log)
    channel.refused = False
    channel.exec_command(command)
    if channel.refused:
        return output.close(f"ssh: command {command} failed", command)
    unread = threading.Event()
    threads = [
        threading.Thread(target=output.drain, args=("stdout", channel.recv)),
        threading.Thread(target=output.drain, args=("stderr", channel.recv_stderr)),
        threading.Thread(target=_feed, args=(channel, (inputs.get("stdin") or "").encode(), unread)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    error = _ended(channel.recv_exit_status(), transport.signals.get(channel.chanid))
    # More stdin than the server's window was not read: the command may be content, the published plugin is not.
    return output.close(error or ("EOF" if unread.is_set() else ""), command)


def _feed(channel: paramiko.Channel, stdin: bytes, unread: threading.Event) -> None:
    try:
        channel.sendall(stdin)
    except OSError:
        unread.set()
        return
    channel.shutdown_write()


def _ended(status: int, killed: tuple[str, str] | None) -> str:
    """Return how the command ended, in Go's words, and nothing where it succeeded."""
    if status >= 0:
        return f"Process exited with status {status}" if status else ""
    if killed is None:
        return "wait: remote command exited without exit status or exit signal"
    name, reason = killed
    number = 128 + (signal.Signals[f"SIG{name}"] if name in _SIGNALS else 0)
    return f"Process exited with status {number} from signal {name}" + (f". Reason was: {reason}" if reason else "")
