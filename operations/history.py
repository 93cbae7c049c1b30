"""This module lists a stack's updates, numbered, with what each changed in the configuration."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pulumi import automation

from components.settings import is_secret

from .workspace import project

#: Entries a page; Pulumi Cloud gives no more at once.
PAGE = 100

Leaves = Mapping[str, Any]


@dataclass(frozen=True)
class Update:
    """An `Update` has its number (1 is the stack's first), kind, time, result, and the configuration it had."""

    number: int
    kind: str
    started: datetime.datetime
    result: str
    config: Leaves

    @property
    def phase(self) -> str:
        """Return the phase that the update's configuration asked for."""
        return str(self.config.get("phase", "prepare"))


def leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return every single setting by its path, as `pulumi config set --path` takes it.

    Such paths are `store.bucket` and `copy.exclude[0]`. Keys of the project lose its name, as they do in that command;
    a provider's keep theirs. It is pure.
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = key.removeprefix(f"{project()}:")
        found.update(_below(name, value))
    return found


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _below(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _below(f"{path}[{number}]", inner)
    else:
        yield path, value


def plain(entry: automation.ConfigValue) -> Any:
    """Return the value of a configuration entry as the engine lists it: an object from its JSON. It is pure."""
    try:
        parsed = json.loads(entry.value)
    except ValueError:
        return entry.value
    return parsed if isinstance(parsed, (dict, list)) else entry.value


def number(entries: Sequence[automation.UpdateSummary]) -> list[Update]:
    """Return the updates, the oldest first. It is pure.

    Backends other than Pulumi Cloud give them no numbers: they are counted.
    """
    oldest_first = list(reversed(entries))
    return [
        Update(
            number=entry.version or position,
            kind=entry.kind,
            started=entry.start_time,
            result=entry.result,
            config=leaves({key: plain(value) for key, value in entry.config.items()}),
        )
        for position, entry in enumerate(oldest_first, 1)
    ]


def updates(stack: automation.Stack) -> list[Update]:
    """Return all updates of the stack, the oldest first. Secrets are decrypted in memory only, see `shown`.

    Raises pulumi.automation.errors.CommandError where the engine fails.
    """
    entries: list[automation.UpdateSummary] = []
    page = 1
    while found := stack.history(page_size=PAGE, page=page):
        entries += found
        page += 1
        if len(found) < PAGE:
            break
    return number(entries)


def encrypted(file: bytes) -> set[str]:
    """Return the paths of the settings that are encrypted in a stack's file: their values are not for showing.

    It is pure.
    """
    config = (yaml.safe_load(file) or {}).get("config") or {}
    ending = ".secure"
    return {path.removesuffix(ending) for path in leaves(config) if path.endswith(ending)}


def shown(path: str, value: Any, secure: Collection[str] = ()) -> str:
    """Return a setting's value for people; a secret is never among it."""
    if value is None:
        return "(not set)"
    return "[secret]" if is_secret(path) or path in secure else str(value)


def changes(before: Leaves, after: Leaves, secure: Collection[str] = ()) -> list[str]:
    """Return a line for each setting that differs; `secure` are further ones that are not shown. It is pure."""
    lines = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old != new:
            lines.append(f"{path}: {shown(path, old, secure)} -> {shown(path, new, secure)}")
    return lines


def table(found: Sequence[Update], secure: Collection[str] = ()) -> list[str]:
    """Return the history for people, the newest first; under each update stands what it changed. It is pure."""
    lines = [f"{'number':>6}  {'time (UTC)':<19}  {'kind':<8}  {'phase':<8}  result"]
    for update in reversed(found):
        earlier = next((one for one in reversed(found) if one.number < update.number), None)
        what = f"{update.kind:<8}  {update.phase:<8}  {update.result}"
        lines.append(f"{update.number:>6}  {update.started:%Y-%m-%d %H:%M:%S}  {what}")
        if earlier:
            lines += [f"{'':>8}{line}" for line in changes(earlier.config, update.config, secure)]
    return lines
