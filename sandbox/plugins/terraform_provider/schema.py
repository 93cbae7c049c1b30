"""Inputs from the published schema, which lies beside this module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..checking import Property

SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("b2-schema.json").read_text())
_KINDS: dict[str, Any] = {"string": str, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def inputs_of(token: str, replaces: tuple[str, ...] = ()) -> dict[str, Property]:
    """A resource's inputs; `replaces` are those that the provider's source marks ForceNew."""
    resource = SCHEMA["resources"][token]
    required = set(resource.get("requiredInputs", []))
    return {
        name: _property(kind, required=name in required, replaces=name in replaces)
        for name, kind in resource["inputProperties"].items()
    }


def config() -> dict[str, Property]:
    return {name: _property(kind) for name, kind in SCHEMA["config"]["variables"].items()}


def _property(kind: dict[str, Any], required: bool = False, replaces: bool = False) -> Property:
    if "$ref" in kind:
        found = SCHEMA["types"][kind["$ref"].removeprefix("#/types/")]
        inner = set(found.get("required", []))
        fields = {name: _property(part, required=name in inner) for name, part in found["properties"].items()}
        return Property(dict, required=required, replaces=replaces, fields=fields)
    items = _property(kind["items"]) if kind["type"] == "array" else None
    return Property(
        _KINDS[kind["type"]], required=required, replaces=replaces, secret=kind.get("secret", False), items=items
    )
