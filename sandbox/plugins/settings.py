"""This module reads a provider's own settings, and has the words for one that it does not take."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from .checking import UNRECOGNIZED, Property, Values
from .values import UNKNOWN, plain


def decoded(properties: dict[str, Property], values: Values) -> Values:
    """Return a provider's configuration, whose values that are no text arrive as JSON."""
    found = {}
    for name, value in values.items():
        known, text = properties.get(name), plain(value)
        found[name] = value
        if known and known.kind is not str and isinstance(text, str) and text != UNKNOWN:
            with contextlib.suppress(ValueError):  # what is no JSON is of the wrong kind
                found[name] = _coerced(known, json.loads(text))
    return found


def _coerced(known: Property, value: Any) -> Any:
    """Return the value with numbers as text where text is wanted: the engine takes an account's id for a number."""
    if isinstance(value, dict):
        fields = known.fields or {}
        return {name: _coerced(fields.get(name, Property(str)), item) for name, item in value.items()}
    if isinstance(value, list) and known.items:
        return [_coerced(known.items, item) for item in value]
    return json.dumps(value) if known.kind is str and isinstance(value, (bool, int)) else value


def wrong(namespace: str, name: str, reason: str) -> str:
    """Return the Terraform bridge's words for a setting that it does not take."""
    if reason == UNRECOGNIZED:
        return (
            f"`{namespace}:{name}` is not a valid configuration key for the {namespace} provider. If the referenced "
            f"key is not intended for the provider, please choose a different namespace from `{namespace}:`."
        )
    return f"could not validate provider configuration: {reason}. Check `pulumi config get {namespace}:{name}`."
