"""This module finds the way to a new stack's server: its name, the host key it shows, and the key that opens it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from components.settings.server import is_protected

from .questions import STAND_IN, Person, answered, complaints
from .workspace import OperationError

#: Types of host keys to ask for, the best first; the last only to tell that a server has no other.
_TYPES = ("ed25519", "ecdsa", "rsa")


def find(
    values: Mapping[str, str], key_file: Path | None, person: Person, say: Callable[[str], None]
) -> dict[str, str]:
    """Return the settings of the way to the server that `values` lack; what is bad and was asked for is asked again.

    Raises OperationError where the host key is not confirmed, or what was given already is bad.
    """
    by_agent = values.get("server.useAgent") == "true"
    if by_agent and key_file:
        raise OperationError("--use-agent goes by the agent's keys, --private-key by that one -- leave one of them out")
    private_key = _private_key(key_file) if key_file else ""
    host, host_key = _server(values, person, say)
    if "server.hostKey" not in values and not _is_confirmed(host, host_key, person, say):
        raise OperationError("the host key was not confirmed; nothing was written")
    way = {"server.host": host, "server.hostKey": host_key}
    if by_agent:
        return way
    while not private_key:
        file = Path(person.ask("File with the SSH private key", "~/.ssh/id_ed25519"))
        try:
            private_key = _private_key(file)
        except OperationError as error:
            say(str(error))
    return {**way, "server.privateKey": private_key}


def _private_key(file: Path) -> str:
    """Return the private key in a file. Raises OperationError where there is none that can be used."""
    key = text_of(file, "the SSH private key")
    values = {"server.privateKey": key, **({"server.privateKeyPassword": STAND_IN} if is_protected(key) else {})}
    problems = complaints(values)
    for path in values:
        if path in problems:
            raise OperationError(problems[path])
    return key


def text_of(file: Path, what: str) -> str:
    """Return the text in a file. Raises OperationError where it cannot be read."""
    try:
        return file.expanduser().read_text()  # no shell makes a home of `--vars=~/...`
    except (OSError, RuntimeError, ValueError) as error:
        raise OperationError(f"{what} cannot be read: {error}") from None


def _server(values: Mapping[str, str], person: Person, say: Callable[[str], None]) -> tuple[str, str]:
    """Return the server's name and its host key. Raises OperationError where a name that was given shows none."""
    while True:
        host = values.get("server.host", "")
        if not host:
            host = answered("server.host", "Name or address of the server", "", values, person, say)["server.host"]
        try:
            return host, values.get("server.hostKey") or _shown(host, values.get("server.port", "22"))
        except OperationError as error:
            if "server.host" in values:
                raise
            say(str(error))


def _shown(host: str, port: str) -> str:
    """Return the best host key that the server shows. Raises OperationError where there is none that can be used."""
    done = subprocess.run(
        ["ssh-keyscan", "-T", "10", "-p", port, "-t", ",".join(_TYPES), host],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    keys = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line and not line.startswith("#")]
    if not keys:
        raise OperationError(f"{host} shows no SSH host key -- is its name right, and does SSH answer on port {port}?")
    for kind in _TYPES:
        for key in keys:
            if kind in key.split()[0] and "server.hostKey" not in complaints({"server.hostKey": key}):
                return key
    raise OperationError(
        f"{host} shows a host key of type RSA alone, which would be taken with SHA-1 here, and servers refuse that -- "
        "make one of another type on the server: ssh-keygen -A; see that no HostKey line in /etc/ssh/sshd_config "
        "leaves it out, restart sshd, and run this again"
    )


def _is_confirmed(host: str, key: str, person: Person, say: Callable[[str], None]) -> bool:
    print_ = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True).stdout.split()
    say(f"{host} shows the key {print_[1] if len(print_) > 1 else key}")
    kind = next(kind for kind in _TYPES if kind in key.split()[0])
    say(f"compare it with what the server itself says: ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub")
    return person.agrees("Is it the server's key?")
