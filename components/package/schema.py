"""This module makes the package's schema of the settings themselves: names, types, descriptions, what is secret.

https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/
"""

from __future__ import annotations

from importlib.metadata import metadata, version
from typing import Any

from components.settings import Settings

NAME = "matrix-media-store"
TOKEN = f"{NAME}:index:MediaStore"
#: What the component tells, all of it open.
OUTPUTS = {
    "phase": "The phase that the server is in",
    "bucket": "The bucket's name",
    "endpoint": "The address of the store's S3 side",
    "summary": "What holds now, in a sentence",
    "next": "What to do next",
}
#: What is passed over of JSON Schema: these are for people, or checked by the component itself.
_KEPT = ("type", "description", "const")


def schema() -> dict[str, Any]:
    """Return the package's schema as a document. It is pure."""
    settings = Settings.model_json_schema(by_alias=True)
    return {
        "name": NAME,
        "version": version(NAME),
        "description": metadata(NAME)["Summary"],
        "license": "Apache-2.0",
        "types": {_token(name): _type(definition) for name, definition in settings["$defs"].items()},
        "resources": {
            TOKEN: {
                "description": "A Matrix server whose media store lies in a bucket, and the bucket.",
                "isComponent": True,
                "inputProperties": _properties(settings),
                "requiredInputs": settings["required"],
                "properties": {name: {"type": "string", "description": text} for name, text in OUTPUTS.items()},
                "required": list(OUTPUTS),
            }
        },
        "language": {"nodejs": {"respectSchemaVersion": True}, "python": {"respectSchemaVersion": True}},
    }


def _token(name: str) -> str:
    return f"{NAME}:index:{name}"


def _type(definition: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": _properties(definition), "required": definition.get("required", [])}


def _properties(definition: dict[str, Any]) -> dict[str, Any]:
    return {name: _property(of) for name, of in definition["properties"].items()}


def _property(of: dict[str, Any]) -> dict[str, Any]:
    """Return a property as Pulumi's schema has it, of one as JSON Schema has it."""
    made = {key: of[key] for key in _KEPT if key in of}
    if of.get("writeOnly"):
        made["secret"] = True
    if "$ref" in of:
        made["$ref"] = f"#/types/{_token(of['$ref'].rpartition('/')[2])}"
    for key in ("items", "additionalProperties"):
        if isinstance(of.get(key), dict):
            made[key] = _property(of[key])
    either = [each for each in of.get("anyOf", []) if each.get("type") != "null"]
    if len(either) == 1:  # one that may be left out
        made |= _property(either[0])
    elif "oneOf" in of:
        made["oneOf"] = [_property(each) for each in of["oneOf"]]
    return made
