"""This module reads a vars.yml as Ansible does, as far as that goes without Ansible, and says what was found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from components.playbook import TEMPLATE_MARKS
from components.settings import is_secret

from .workspace import OperationError


class Hidden(str):
    """A `Hidden` stands for a value that the file does not tell; its text says why."""


class _Unsafe(str):
    """An `_Unsafe` is text that Ansible takes for no template, whatever stands in it."""


class _Loader(yaml.SafeLoader):
    """This loader keeps each value as the text that stands in the file: a key of digits alone stays what it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _vault(loader: yaml.SafeLoader, node: yaml.Node) -> Hidden:
    return Hidden("encrypted with Ansible Vault")


def _as_it_is(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    text = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None
    return _Unsafe(text) if text and suffix == "unsafe" else text


_Loader.add_constructor("!vault", _vault)
_Loader.add_constructor("!vault-encrypted", _vault)
_Loader.add_multi_constructor("!", _as_it_is)

#: What Ansible's filter `bool` takes for true, in small letters; YAML 1.1 knows no more words for it.
#: https://docs.ansible.com/ansible/latest/collections/ansible/builtin/bool_filter.html
_TRUE = ("yes", "on", "true", "1")


@dataclass(frozen=True)
class Variables:
    """These `Variables` are a file's, by name."""

    values: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """Return the first of these variables that says something; it is empty where none does, and may be `Hidden`."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, Hidden):
                return Hidden(f"{name}: {value}")
            if value is not None and not isinstance(value, (str, int, float)):
                return Hidden(f"{name}: no text")
            text = "" if value is None else str(value).strip()
            if not isinstance(value, _Unsafe) and any(mark in text for mark in TEMPLATE_MARKS):
                return Hidden(f"{name}: made by a template")
            if text:
                return text
        return ""

    def flag(self, *names: str, default: bool = False) -> bool:
        """Return whether the first of these variables that says something is true; a hidden one is the default."""
        text = self.text(*names)
        return default if not text or isinstance(text, Hidden) else text.lower() in _TRUE


@dataclass(frozen=True)
class Found:
    """A `Found` has settings by path, in plain text and secret, and what must be asked for."""

    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Settings that the file means and does not tell: why, by path.
    hidden: Mapping[str, str] = field(default_factory=dict)
    #: What to offer where a setting is asked for.
    defaults: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    #: A bucket that may be taken, if the answer to the question is yes.
    offer: tuple[str, Found] | None = None

    def __or__(self, other: Found) -> Found:
        """Return both together; the other's settings count where both have one."""
        return Found(
            {**self.settings, **other.settings},
            {**self.secrets, **other.secrets},
            {**self.hidden, **other.hidden},
            {**self.defaults, **other.defaults},
            self.notes + other.notes,
            other.offer or self.offer,
        )


def said(path: str, value: str, default: str = "") -> Found:
    """Return what follows for a setting: its value, or that it must be asked for; nothing where the value is empty."""
    if isinstance(value, Hidden):
        return Found(hidden={path: value}, defaults={path: default} if default else {})
    if not value:
        return Found()
    return Found(secrets={path: value}) if is_secret(path) else Found({path: value})


def load(text: str) -> Variables:
    """Return the file's variables. Raises OperationError where it has none."""
    if text.startswith("$ANSIBLE_VAULT"):
        raise OperationError(
            "the file is encrypted as a whole -- give it decrypted: "
            "media-store init --vars <(ansible-vault view vars.yml) --stack …, or leave --vars out and answer"
        )
    try:
        document = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise OperationError(f"the file is no YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict):
        raise OperationError("the file holds no variables -- give the host's vars.yml")
    return Variables({str(name): value for name, value in document.items()})
