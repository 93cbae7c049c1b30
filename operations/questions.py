"""This module asks a person what a new stack needs, and asks again where an answer would not be accepted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from components.settings import ConfigurationError, is_secret, parse
from components.settings.presets import region_of

from .variables import Found
from .workspace import OperationError

#: A setting's path, the question that asks for it, and its default.
Question = tuple[str, str, str]
KIND = ("store.kind", "Bucket: existing, or one that the stack makes at aws or b2", "existing")
_HOMESERVER = ("host.homeserverUrl", "Where the homeserver answers, seen from the server", "https://{host}")
_NEW_BUCKET = ("store.bucket", "Name of the bucket to make, which nobody there may have yet", "{bucket}")
#: What is asked where neither the playbook nor an option says it, by the kind of store.
QUESTIONS: dict[str, list[Question]] = {
    "existing": [
        ("store.endpoint", "Address of the S3 service (for AWS leave it empty)", ""),
        ("store.region", "Region of the bucket", ""),
        ("store.bucket", "Name of the bucket", ""),
        _HOMESERVER,
        ("store.accessKeyId", "Access key id", ""),
        ("store.secretAccessKey", "Secret access key", ""),
    ],
    "aws": [("store.region", "Region at AWS, close to the server", ""), _NEW_BUCKET, _HOMESERVER],
    "b2": [
        _NEW_BUCKET,
        _HOMESERVER,
        ("b2:applicationKeyId", "Id of an application key that may make buckets and keys", ""),
        ("b2:applicationKey", "That application key", ""),
    ],
}
#: What stands in the stack's file as a setting of a provider's own, by the kind of store and our name for it.
PROVIDERS = {"aws": {"store.region": "aws:region"}}
#: Asked only where the playbook's file says that there is one, and does not tell it.
OPTIONAL = [
    ("host.mediaStore", "Folder of Synapse's media store on the server", ""),
    ("host.database", "psql-like program on the server that asks Synapse's database", "auto"),
    ("store.prefix", "Folder in the bucket for the media (for the whole bucket leave it empty)", ""),
    ("store.sseCustomerKey", "Key for SSE-C (base64 of 32 bytes)", ""),
]
#: What stands for a secret that is not known yet, where all else is tried.
STAND_IN = "not known yet"


class Person(Protocol):
    """A `Person` is who answers the questions."""

    def ask(self, question: str, default: str = "") -> str:
        """Return the answer to a question, or the default where it is empty."""

    def ask_secret(self, question: str) -> str:
        """Return the answer to a question, which is not shown."""

    def agrees(self, question: str) -> bool:
        """Return whether the answer is yes."""


def nested(values: Mapping[str, str]) -> dict[str, Any]:
    """Return settings by path as the stack's file nests them, but for the providers' own. It is pure.

    Raises OperationError where a path leads nowhere.
    """
    made: dict[str, Any] = {}
    for path, value in values.items():
        if ":" in path:
            continue  # a provider's own
        place: Any = made
        *above, last = [int(name) if name.isdecimal() else name for name in re.findall(r"[^.\[\]]+", path)]
        for name, following in zip(above, [*above, last][1:], strict=True):
            place = _at(place, name, [] if isinstance(following, int) else {})
        _at(place, last, value)
    return made


def _at(place: Any, name: str | int, value: Any) -> Any:
    """Return what is at a name or number in `place`; where nothing is, `value` is put there.

    Raises OperationError where there is no such place.
    """
    if isinstance(place, dict):
        return place.setdefault(name, value)
    if not isinstance(place, list) or not isinstance(name, int) or name > len(place):
        raise OperationError(f"a setting leads to {name}, and there is no such place -- give lists from [0] on")
    place.extend([value] if name == len(place) else [])
    return place[name]


def complaints(values: Mapping[str, str]) -> dict[str, str]:
    """Return what the settings say against values by path, a line each by its path. It is pure."""
    try:
        parse(nested(values))
    except ConfigurationError as error:
        return {line.partition(": ")[0]: line for line in str(error).splitlines()}
    return {}


def _must_be_accepted(values: Mapping[str, str]) -> None:
    """Raise OperationError, with a line for each problem, where the values would not be accepted as they are."""
    if problems := complaints(values):
        raise OperationError("that would not be accepted; nothing was written:\n" + "\n".join(problems.values()))


def usable(found: Found, values: Mapping[str, str]) -> Found:
    """Return what was found without the values that would not be accepted: these are to be asked for. It is pure."""
    problems = complaints({**found.settings, **found.secrets, **values})
    wrong = {
        path: f"what the file says {problems[path].partition(': ')[2].partition(' -- ')[0]}"
        for path in (*found.settings, *found.secrets)
        if path in problems
    }
    kept, secrets = ({p: v for p, v in part.items() if p not in wrong} for part in (found.settings, found.secrets))
    return replace(found, settings=kept, secrets=secrets, hidden={**found.hidden, **wrong})


def answered(
    path: str, question: str, default: str, values: Mapping[str, str], person: Person, say: Callable[[str], None]
) -> dict[str, str]:
    """Ask one question until the answer would be accepted beside `values`, and return the settings that follow."""
    while True:
        answer = person.ask_secret(question) if is_secret(path) else person.ask(question, default)
        settings = _following(path, answer)
        complaint = complaints({**values, **settings}).get(path)
        if ":" in path and not answer:
            complaint = f"{path}: is missing -- give it, as the store's page of keys shows it"
        if not complaint:
            return settings
        say(complaint)


def _bucket_of(host: str) -> str:
    """Return a name for a new bucket that every kind of store takes, made of the server's. It is pure."""
    return f"{re.sub('[^a-z0-9]+', '-', host.lower()).strip('-')[:56]}-media"


def _following(path: str, answer: str) -> dict[str, str]:
    """Return the settings that follow from an answer: a known store's address says its region. It is pure."""
    if path != "store.endpoint":
        return {path: answer}
    if not answer:
        return {"store.preset": "aws"}
    region = region_of(answer)
    return {path: answer, **({"store.region": region} if region else {})}


def ask_all(
    found: Found, values: Mapping[str, str], more: Mapping[str, str], person: Person, say: Callable[[str], None]
) -> dict[str, str]:
    """Return `values` with the answers to what they lack; secrets are asked for last.

    Raises OperationError where all of it would not be accepted together, and does so before the first secret if that is
    not the secrets' fault.

    :param more: questions besides those that are always asked, by path.
    """
    asked = [*QUESTIONS[values["store.kind"]], *(known for known in OPTIONAL if known[0] in found.hidden)]
    asked += [(path, question, "") for path, question in more.items()]
    values = dict(values)

    def ask(path: str, question: str, default: str) -> None:
        host = values["server.host"]
        default = found.defaults.get(path) or default.format(host=host, bucket=_bucket_of(host))
        values.update(answered(path, question, default, values, person, say))

    for path, question, default in asked:
        if not is_secret(path) and path not in values and not (path == "store.endpoint" and "store.preset" in values):
            ask(path, question, default)
    waiting = [known for known in asked if is_secret(known[0]) and known[0] not in values]
    optional = {path for path, _, _ in OPTIONAL}
    _must_be_accepted({**{path: STAND_IN for path, _, _ in waiting if path not in optional}, **values})
    for known in waiting:
        ask(*known)
    _must_be_accepted(values)
    return {path: value for path, value in values.items() if value}
