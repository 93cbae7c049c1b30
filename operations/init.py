"""This module makes a new stack from a playbook's vars.yml, or from answers.

It is written only once all of it would be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.settings import is_secret
from components.settings.server import is_protected

from . import access, questions, vars_yml
from .questions import Person
from .variables import Found
from .workspace import ROOT, OperationError, config_file, pulumi


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
    #: The kind of store; empty where a person is asked.
    kind: str = ""
    #: What encrypts the stack's secrets; empty for the backend's own way, or a passphrase.
    secrets_provider: str = ""
    #: Whether SSH goes by the keys of the session's agent.
    use_agent: bool = False
    #: Further settings, each as `path=value`.
    more: tuple[str, ...] = ()


def init(given: Given, person: Person, say: Callable[[str], None]) -> None:
    """Check, ask, and write a new stack. Raises OperationError; nothing is written then."""
    file = config_file(given.stack)
    if file.exists():
        raise OperationError(f"{file.relative_to(ROOT)} is there already -- choose another name, or change it")
    found = vars_yml.read(access.text_of(given.vars_file, "the playbook's file")) if given.vars_file else Found()
    options = _options(given)
    _try_out(given)
    values = _answers(found, options, given.private_key, person, say)
    theirs = questions.PROVIDERS.get(values["store.kind"], {})
    values = {theirs.get(path, path): value for path, value in values.items()}
    _write(
        given,
        {path: value for path, value in values.items() if not is_secret(path)},
        {path: value for path, value in values.items() if is_secret(path)},
    )
    if values["store.kind"] == "aws":
        say("AWS's own credentials come from where the AWS command line takes them (aws configure, AWS_PROFILE)")
    say(f"wrote {file.relative_to(ROOT)}; next: pulumi stack select {given.stack} && pulumi up")


def _options(given: Given) -> dict[str, str]:
    """Return the settings that the command line says. Raises OperationError where one would not be accepted."""
    said = {
        "server.host": given.host,
        "server.user": given.user,
        "server.hostKey": given.host_key,
        "server.port": "" if given.port == 22 else str(given.port),
        "server.useAgent": "true" if given.use_agent else "",
        "store.kind": given.kind,
    }
    said = {path: value for path, value in said.items() if value} | dict(map(_setting, given.more))
    problems = questions.complaints(said)
    if wrong := [problems[path] for path in said if path in problems]:
        raise OperationError("\n".join(wrong))
    return said


def _setting(text: str) -> tuple[str, str]:
    """Return path and value of a `--set`. Raises OperationError where it is a secret, which arguments must not hold."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise OperationError(f"--set {path}: has no value -- say it as --set mount.cache=20G")
    if is_secret(path):
        raise OperationError(
            f"--set {path}: is a secret or no setting, and everybody on this machine can read what a command line "
            f"holds -- leave it out; later, pulumi config set --secret --path {path}"
        )
    return path, value


def _make(given: Given) -> None:
    provider = ["--secrets-provider", given.secrets_provider] if given.secrets_provider else []
    pulumi("stack", "init", given.stack, "--no-select", *provider)


def _try_out(given: Given) -> None:
    """Make the stack and take it away again: the engine itself says whether name, backend and secrets will do.

    Raises OperationError with its word, before anything was asked.
    """
    _make(given)
    pulumi("stack", "rm", "--yes", given.stack)


def _answers(
    found: Found, options: Mapping[str, str], key_file: Path | None, person: Person, say: Callable[[str], None]
) -> dict[str, str]:
    """Return all settings by path: found, given, and asked for; what costs least to say again is asked first."""
    for note in found.notes:
        say(f"note: {note}")
    if found.offer and person.agrees(found.offer[0]):
        found |= found.offer[1]
    base = {"phase": found.settings.get("phase", "prepare"), "store.kind": "existing", **options}
    found = questions.usable(found, base)
    for path, why in found.hidden.items():
        if path not in options:
            say(f"{path} is asked for: {why}")
    values = {**found.settings, **found.secrets, **base}
    asks_kind = _asks_kind(found, options)
    values |= access.find(values, key_file, person, say)
    if asks_kind:
        values |= questions.answered(*questions.KIND, options, person, say)
    more = {}
    if is_protected(values.get("server.privateKey", "")):
        more["server.privateKeyPassword"] = "Password of the SSH private key"
    return questions.ask_all(found, values, more, person, say)


def _asks_kind(found: Found, options: Mapping[str, str]) -> bool:
    """Return whether nobody said yet of which kind the store is: the playbook's bucket exists.

    Raises OperationError where an option says otherwise.
    """
    names_bucket = any(path.startswith("store.") for path in (*found.settings, *found.secrets, *found.hidden))
    if names_bucket and options.get("store.kind", "existing") != "existing":
        raise OperationError("the playbook's file names a bucket, which exists -- leave --store out, or --vars")
    return not names_bucket and "store.kind" not in options


def _write(given: Given, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Make the stack and write its settings; where that fails, no half of a stack stays behind.

    Secrets go by standard input.
    """
    _make(given)
    stack = given.stack
    try:
        pairs = [part for path, value in settings.items() for part in ("--plaintext", f"{path}={value}")]
        pulumi("config", "set-all", "--path", *pairs, "--stack", stack)
        for path, value in secrets.items():
            pulumi("config", "set", "--secret", "--path", path, "--stack", stack, value=value)
    except (OperationError, KeyboardInterrupt):
        pulumi("stack", "rm", "--yes", stack)
        raise
