"""This module reads a stack's settings from the engine's configuration: its own, and those that it shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from .names import ALONE
from .stack import WORDS, ConfigurationError, Settings, parse
from .stores import kind_of

#: The name of this program's own project.
PROGRAM = "matrix-media-store"
#: The key under which Pulumi.yaml, or an environment, has settings for all stacks.
SHARED = "shared"
#: Settings that must not lie in plain text in a stack's file.
_SECRETS = {
    "server": ["privateKey", "privateKeyPassword"],
    "store": ["secretAccessKey", "sseCustomerKey"],
    "host": ["accessToken"],
}
_SECTIONS = {field.alias or to_camel(name) for name, field in Settings.model_fields.items()}


def read(project: str, config: dict[str, str], secret_keys: set[str]) -> Settings:
    """Return the settings of the engine's configuration. Raises ConfigurationError with a line for each problem.

    What a stack says itself counts more than what is shared, key by key.

    :param config: every configuration value by full key, objects as JSON.
    :param secret_keys: full keys whose value is, or holds, an encrypted one.
    """
    own: dict[str, Any] = {}
    problems = []
    for full, text in config.items():
        namespace, _, key = full.partition(":")
        if namespace == PROGRAM != project:
            problems.append(f"{full}: belongs to a project of another name -- write {project}:{key}")
        if namespace != project:
            continue
        try:
            own[key] = _value(key, text)
        except ValueError:
            problems.append(f"{key}: is not an object -- set its parts with `pulumi config set --path {key}.…`")
            continue
        if full not in secret_keys:
            # In a stack's own `shared`, it would take the place of all that the project shares.
            problems += [
                f"{path}: lies in plain text -- "
                f"set it with `pulumi config set --secret --path {path.removeprefix(f'{SHARED}.')}`"
                for path in plain_secrets(key, own[key])
            ]
    values = _merged(own.pop(SHARED, {}), own)
    problems += _take_from_providers(values, config)
    try:
        settings = parse(values)
    except ConfigurationError as error:
        raise ConfigurationError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def _value(key: str, text: str) -> Any:
    """Return a value of the engine's configuration. Raises ValueError where a section is no object."""
    if key in WORDS:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        if key in _SECTIONS or key == SHARED:
            raise
        return text  # a text under a name that is none of ours: `parse` says so
    if key == SHARED and not isinstance(value, dict):
        raise ValueError
    return value


def plain_secrets(key: str, value: Any) -> list[str]:
    """Return the paths of texts in a value that must be encrypted. It is pure."""
    above, sections = (f"{SHARED}.", value) if key == SHARED else ("", {key: value})
    found = []
    for name, section in sections.items():
        kind = ALONE if name == "stores" else name
        for place, part in _stores_in(sections) if name == "stores" else [(name, section)]:
            texts = [
                secret for secret in _SECRETS.get(kind, []) if isinstance(part, Mapping) and _is_text(part, secret)
            ]
            found += [f"{above}{place}.{secret}" for secret in texts]
    return found


def _is_text(part: Mapping[str, Any], name: str) -> bool:
    return isinstance(part.get(name), str) and bool(part[name])


def _merged(shared: Any, own: Any) -> Any:
    """Return what a stack says itself with what it shares beneath, key by key; lists are one thing. It is pure."""
    if not isinstance(shared, dict) or not isinstance(own, dict):
        return own
    return {**shared, **{key: _merged(shared.get(key), value) for key, value in own.items()}}


#: What the providers' own settings say already: kind of store, our setting, the provider's.
_PROVIDERS = [("aws", "region", "aws:region"), ("b2", "api", "b2:endpoint")]


def _take_from_providers(values: dict[str, Any], config: dict[str, str]) -> list[str]:
    """Take what a provider's own settings say already, and return a line for each that stands in the store's too."""
    problems = []
    for place, store in [(ALONE, values.get(ALONE)), *_stores_in(values)]:
        for kind, ours, theirs in _PROVIDERS:
            if isinstance(store, dict) and kind_of(store) == kind:
                if ours in store:
                    problems.append(
                        f"{place}.{ours}: is not a setting for {kind} -- set it with `pulumi config set {theirs}`"
                    )
                elif config.get(theirs, "production") != "production":
                    store[ours] = config[theirs]
    return problems


def _stores_in(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the stores with names that a configuration has, each with where it stands there."""
    stores = values.get("stores")
    return [(f"stores.{name}", store) for name, store in stores.items()] if isinstance(stores, Mapping) else []
