"""This module makes a new stack from a playbook's vars.yml, or from answers.

It is written only once all of it would be accepted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from components.settings import ConfigurationError, is_secret, parse
from components.settings.server import is_protected

from . import vars_yml
from .variables import Found
from .workspace import ROOT, OperationError, config_file, pulumi

#: What is asked where neither the playbook nor an option says it: path, question, default.
QUESTIONS = [
    ("server.host", "Name or address of the server", ""),
    ("store.endpoint", "Address of the S3 service (for AWS leave it empty)", ""),
    ("store.region", "Region of the bucket", ""),
    ("store.bucket", "Name of the bucket", ""),
    ("store.accessKeyId", "Access key id", ""),
    ("store.secretAccessKey", "Secret access key", ""),
    ("host.homeserverUrl", "Where the homeserver answers, seen from the server", "https://{host}"),
]
#: Asked only where the playbook's file says that there is one, and cannot be read.
OPTIONAL = {"store.sseCustomerKey": "Key for SSE-C (base64 of 32 bytes)"}


class Person(Protocol):
    """A `Person` is who answers the questions."""

    def ask(self, question: str, default: str = "") -> str:
        """Return the answer to a question, or the default where it is empty."""

    def ask_secret(self, question: str) -> str:
        """Return the answer to a question, which is not shown."""

    def agrees(self, question: str) -> bool:
        """Return whether the answer is yes."""


@dataclass(frozen=True)
class Given:
    """A `Given` is what the command line says already; a field is empty where it does not."""

    stack: str
    vars_file: Path | None = None
    host: str = ""
    user: str = ""
    private_key: Path | None = None
    host_key: str = ""
    port: int = 22


def init(given: Given, person: Person, say: Callable[[str], None]) -> None:
    """Ask, check, and write a new stack. Raises OperationError; nothing is written then."""
    file = config_file(given.stack)
    if file.exists():
        raise OperationError(f"{file.relative_to(ROOT)} is there already -- choose another name, or change it")
    settings, secrets = _answers(given, person, say)
    _check({**settings, **secrets})
    _write(given.stack, settings, secrets)
    say(
        f"wrote {file.relative_to(ROOT)}; next: pulumi stack select {given.stack} && pulumi preview --diff && pulumi up"
    )


def _answers(given: Given, person: Person, say: Callable[[str], None]) -> tuple[dict[str, str], dict[str, str]]:
    found = vars_yml.read(_text(given.vars_file, "the playbook's file")) if given.vars_file else Found()
    for note in found.notes:
        say(f"note: {note}")
    for path, why in found.hidden.items():
        say(f"{path} is asked for: {why}")
    values = {"phase": "prepare", "store.kind": "existing", **found.settings, **found.secrets}
    if given.host:
        values["server.host"] = given.host
    if given.user:
        values["server.user"] = given.user
    questions = [*QUESTIONS, *((path, text, "") for path, text in OPTIONAL.items() if path in found.hidden)]
    for path, question, default in questions:
        if path in values or path == "store.endpoint" and "store.preset" in values:
            continue
        if is_secret(path):
            values[path] = person.ask_secret(question)
        else:
            values[path] = person.ask(question, default.format(host=values.get("server.host", "")))
        if path == "store.endpoint" and not values[path]:
            del values[path]
            values["store.preset"] = "aws"
    if given.port != 22:
        values["server.port"] = str(given.port)
    values["server.privateKey"] = _private_key(given, person)
    if is_protected(values["server.privateKey"]):
        values["server.privateKeyPassword"] = person.ask_secret("Password of the SSH private key")
    values["server.hostKey"] = given.host_key or _host_key(values["server.host"], given.port, person, say)
    return (
        {path: value for path, value in values.items() if not is_secret(path)},
        {path: value for path, value in values.items() if is_secret(path)},
    )


def _private_key(given: Given, person: Person) -> str:
    file = given.private_key or Path(person.ask("File with the SSH private key", "~/.ssh/id_ed25519"))
    return _text(file, "the SSH private key")


def _text(file: Path, what: str) -> str:
    try:
        return file.expanduser().read_text()  # no shell makes a home of `--vars=~/...`
    except OSError as error:
        raise OperationError(f"{what} cannot be read: {error}") from None


def _host_key(host: str, port: int, person: Person, say: Callable[[str], None]) -> str:
    """Return the key that the server shows, once a person said that it is the right one."""
    done = subprocess.run(
        ["ssh-keyscan", "-T", "10", "-p", str(port), "-t", "ed25519", host],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    keys = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line and not line.startswith("#")]
    if not keys:
        raise OperationError(f"{host} shows no SSH host key -- is its name right, and does SSH answer on port {port}?")
    print_ = subprocess.run(["ssh-keygen", "-lf", "-"], input=keys[0], capture_output=True, text=True).stdout.split()
    say(f"{host} shows the key {print_[1] if len(print_) > 1 else keys[0]}")
    say("compare it with what the server itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    if not person.agrees("Is it the server's key?"):
        raise OperationError("the host key was not confirmed; nothing was written")
    return keys[0]


def nested(values: Mapping[str, str]) -> dict[str, Any]:
    """Return settings by path as the stack's file nests them. It is pure."""
    made: dict[str, Any] = {}
    for path, value in values.items():
        section, dot, name = path.partition(".")
        if dot:
            made.setdefault(section, {})[name] = value
        else:
            made[section] = value
    return made


def _check(values: Mapping[str, str]) -> None:
    try:
        parse(nested(values))
    except ConfigurationError as error:
        raise OperationError(f"that would not be accepted; nothing was written:\n{error}") from None


def _write(stack: str, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Make the stack and write its settings; where that fails, no half of a stack stays behind.

    Secrets go by standard input.
    """
    pulumi("stack", "init", stack, "--no-select")
    try:
        pairs = [part for path, value in settings.items() for part in ("--plaintext", f"{path}={value}")]
        pulumi("config", "set-all", "--path", *pairs, "--stack", stack)
        for path, value in secrets.items():
            pulumi("config", "set", "--secret", "--path", path, "--stack", stack, value=value)
    except (OperationError, KeyboardInterrupt):
        pulumi("stack", "rm", "--yes", stack)
        raise
