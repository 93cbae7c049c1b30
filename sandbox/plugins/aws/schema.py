"""The published schema, as far as the published Python SDK tells it: names, types, and what is required."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from dataclasses import replace
from typing import Any

import pulumi._types as types

from ..checking import Property

_KINDS: dict[Any, type | tuple[type, ...]] = {bool: bool, int: (int, float), float: (int, float)}


def inputs_of(
    resource: type,
    replaces: tuple[str, ...] = (),
    choices: dict[str, tuple[str, ...]] | None = None,
    defaults: dict[str, str] | None = None,
) -> Any:
    """Return a resource's inputs from the SDK, by its class there, such as `pulumi_aws.s3.Bucket`.

    The rest is what the SDK does not tell: inputs whose change replaces the resource, as `region` always does, values
    that the provider checks, by dotted path, and values that it fills in.
    """
    module = inspect.getmodule(resource)
    names = (f"{resource.__name__}InitArgs", f"{resource.__name__}Args")
    properties = _properties(next(getattr(module, name) for name in names if hasattr(module, name)))
    for name in {*replaces, "region"} & set(properties):
        properties[name] = replace(properties[name], replaces=True)
    for name, value in (defaults or {}).items():
        properties[name] = replace(properties[name], default=value)
    if "tags" in properties:
        properties["tagsAll"] = Property(dict)  # what a program cannot give, the provider itself puts in
    for path, values in (choices or {}).items():
        _restrict(properties, path.split("."), values)
    return properties


def _properties(args: type[Any]) -> dict[str, Property]:
    names = types.input_type_py_to_pulumi_names(args)
    kinds = types.input_type_types(args)
    required = {
        name
        for name, parameter in inspect.signature(args.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    return {theirs: replace(_property(kinds[theirs]), required=ours in required) for ours, theirs in names.items()}


def _property(kind: Any) -> Property:
    kind = _bare(kind)
    origin = typing.get_origin(kind)
    if origin in (list, collections.abc.Sequence):
        return Property(list, items=_property(typing.get_args(kind)[0]))
    if origin in (dict, collections.abc.Mapping):
        return Property(dict)
    if types.is_input_type(kind):
        return Property(dict, fields=_properties(kind))
    return Property(_KINDS.get(kind, str))


def _bare(kind: Any) -> Any:
    """The plain type within `Input[…]` and `Optional[…]`."""
    if typing.get_origin(kind) is typing.Union:
        kinds = [_bare(part) for part in typing.get_args(kind) if part is not type(None)]
        if str in kinds:
            return str  # a document, which may be given as text
        return next((part for part in kinds if types.is_input_type(part)), kinds[0])
    return kind


def _restrict(properties: dict[str, Property], path: list[str], values: tuple[str, ...]) -> None:
    name, *rest = path
    if not rest:
        properties[name] = replace(properties[name], choices=values)
        return
    found = properties[name].items or properties[name]
    assert found.fields is not None
    _restrict(found.fields, rest, values)
