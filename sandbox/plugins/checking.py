"""This module checks inputs against a published schema: it tells what is wrong with them, and fills in the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .values import DEFAULTS, UNKNOWN, has_unknown, plain, secret

Values = dict[str, Any]
UNRECOGNIZED = "unrecognized field"


@dataclass(frozen=True)
class Property:
    """A `Property` is an input in the published schema: `fields` are an object's, `items` what a list or a map has."""

    kind: type | tuple[type, ...]
    required: bool = False
    secret: bool = False
    replaces: bool = False
    default: Any = None
    fields: dict[str, Property] | None = None
    items: Property | None = None
    #: The values it may have, where the provider checks that itself.
    choices: tuple[str, ...] = ()


def check(properties: dict[str, Property], values: Values, path: str = "") -> tuple[Values, list[tuple[str, str]]]:
    """Return the inputs with their defaults, and what is wrong with them, each by its path."""
    failures = [(path + name, UNRECOGNIZED) for name in values if name not in properties and name != DEFAULTS]
    filled = dict(values)
    for name, wanted in properties.items():
        given = plain(values.get(name))
        if given is None:
            if wanted.default is not None:
                filled[name] = wanted.default
            elif wanted.required:
                failures.append((path + name, f"missing required property '{path + name}'"))
            continue
        if given == UNKNOWN or (has_unknown(given) and not wanted.fields and not wanted.items):
            continue
        of_kind = isinstance(given, wanted.kind)
        if not of_kind:
            failures.append((path + name, f"wrong type: {type(given).__name__}"))
        elif wanted.choices and given not in wanted.choices:
            failures.append((path + name, f"expected {path + name} to be one of {list(wanted.choices)}, got {given}"))
        elif wanted.fields:
            inner, wrong = check(wanted.fields, given, f"{path}{name}.")
            failures += wrong
            filled[name] = inner
        elif wanted.items:
            for key, item in given.items() if isinstance(given, dict) else enumerate(given):
                _, wrong = check({str(key): wanted.items}, {str(key): item}, f"{path}{name}.")
                failures += wrong
        if wanted.secret:
            filled[name] = secret(filled[name])
    return filled, failures
