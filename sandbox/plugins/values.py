"""Property values on the wire: secrets and unknowns, as the engine marks them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf import json_format, struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
#: The inputs that the provider itself filled in, as the Terraform bridge lists them among the inputs.
DEFAULTS = "__defaults"


def from_wire(struct: struct_pb2.Struct) -> dict[str, Any]:
    return dict(json_format.MessageToDict(struct))


def to_wire(values: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict(values, struct)
    return struct


def secret(value: Any) -> Any:
    """Mark a value as secret, once."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def plain(value: Any) -> Any:
    """The value without marks of secrecy; unknowns stay UNKNOWN."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) in (SECRET, OUTPUT):
            return plain(value.get("value", UNKNOWN))
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return bool(value == UNKNOWN)


def marked(values: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the values with those of these names marked as secret."""
    return {name: secret(value) if name in names else value for name, value in values.items()}


def secret_names(values: dict[str, Any]) -> set[str]:
    """Return the names of the values that are marked as secret."""
    return {name for name, value in values.items() if is_secret(value)}


def refreshed(old: Any, new: Any) -> Any:
    """Return inputs after a refresh: what the service has for all that was given before, and nothing else."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: refreshed(value, new[name]) for name, value in old.items() if name in new and name != DEFAULTS}
    if isinstance(old, list) and isinstance(new, list):
        return [refreshed(*pair) for pair in zip(old, new, strict=False)]
    return new
