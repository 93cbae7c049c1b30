"""This module does what the Terraform bridge does for each resource of the providers that are built on it.

https://github.com/pulumi/pulumi-terraform-bridge, pkg/tfbridge: Diff, nameRequiresDeleteBeforeReplace.
"""

from __future__ import annotations

import json
from typing import Any

from .checking import Values
from .resource import Resource
from .values import DEFAULTS


class BridgedResource(Resource):
    """A `BridgedResource` holds new inputs against its state, so that a refreshed state shows what drifted."""

    #: Inputs whose order says nothing.
    sets: tuple[str, ...] = ()
    #: Inputs that are JSON, whose layout says nothing.
    documents: tuple[str, ...] = ()
    #: Inputs that stay as they are where the program says nothing of them.
    computed: tuple[str, ...] = ()

    def past(self, state: Values, inputs: Values) -> Values:
        return state

    def same(self, name: str, old: Any, new: Any) -> bool:
        if new is None and name in self.computed:
            return True
        if name in self.sets:
            return sorted(old or ()) == sorted(new or ())
        return alike(old, new) or (name in self.documents and equivalent(old, new))

    def goes_first(self, inputs: Values) -> bool:
        """Return whether the program itself gives the name, which then cannot be there twice."""
        listed = inputs.get(DEFAULTS)
        return self.autonamed in inputs and listed is not None and self.autonamed not in listed


def alike(old: Any, new: Any) -> bool:
    """Return whether two values are one to Terraform's plugin SDK, to which an empty value is none."""
    if isinstance(old or new, dict) and isinstance(new or old, dict):
        old, new = old or {}, new or {}
        return all(alike(old.get(name), new.get(name)) for name in {*old, *new} - {DEFAULTS})
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(alike(*pair) for pair in zip(old, new, strict=True))
    return bool(old == new or not (old or new))


def equivalent(old: Any, new: Any) -> bool:
    """Return whether two texts are the same document."""
    try:
        return bool(json.loads(old) == json.loads(new))
    except (TypeError, ValueError):
        return False
