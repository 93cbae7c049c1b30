"""This module has what a resource type and a provider say of themselves, so that the protocol speaks for them."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .checking import Property, Values

Log = Callable[[str], None]


class Resource(ABC):
    """A `Resource` is one resource type. Without `update`, every change replaces."""

    inputs: dict[str, Property]
    outputs: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()
    #: Those that an update never changes, so that a preview knows them.
    stable_outputs: tuple[str, ...] = ()
    #: The input that the provider fills with a name of its own where the program gives none.
    autonamed: str = ""

    @abstractmethod
    def create(self, inputs: Values, log: Log) -> Values:
        """Make it, and return its outputs beside the inputs; raise RuntimeError with the provider's words."""

    update: Callable[[Values, Values, Log], Values] | None = None
    #: Asks the service what has become of a state: values to take over, or None where it is gone. Without it a
    #: refresh finds nothing.
    read: Callable[[Values], Values | None] | None = None

    #: The state to read for the id of one that is imported. Without it, none can be.
    imported: Callable[[str], Values] | None = None

    def fill(self, inputs: Values) -> Values:
        """Return the program's inputs with what the provider adds before it checks them."""
        return inputs

    def past(self, state: Values, inputs: Values) -> Values:
        """Return what new inputs are held against: the old ones, or the state."""
        return inputs

    def same(self, name: str, old: Any, new: Any) -> bool:
        """Return whether an input has not changed."""
        return bool(old == new)

    def goes_first(self, inputs: Values) -> bool:
        """Return whether one that is replaced is deleted before the new one is made."""
        return False

    def delete(self, state: Values, log: Log) -> None:
        """Undo what the state says."""
        return

    def id_of(self, name: str, properties: Values) -> str:
        """Return the resource's id, from inputs and outputs; `name` is its name in the program."""
        return name + secrets.token_hex(4)


@dataclass(frozen=True)
class Provider:
    """A `Provider` is all of a stand-in: resources by type, functions by token, and how it takes its configuration."""

    version: str
    resources: dict[str, Resource]
    config: dict[str, Property] | None = None
    #: What is wrong with the configuration as a whole, in the provider's words.
    validate: Callable[[Values], str] = lambda config: ""
    configure: Callable[[Values], None] = lambda config: None
    #: What stands before the colon in the configuration's keys.
    namespace: str = ""
    functions: dict[str, Callable[[Values], Values]] = field(default_factory=dict)
    secret_results: tuple[str, ...] = ()
    #: For a plugin that becomes another package by its parameter: its name and version from that.
    parameterize: Callable[[bytes], tuple[str, str]] | None = None
