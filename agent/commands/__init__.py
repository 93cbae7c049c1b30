"""This room has the agent's verbs: each takes a typed command and returns its answer, which ends the output.

`arguments` has the table of all verbs, and alone knows argparse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .arguments import VERBS, Command

Answer = Mapping[str, Any]


def find(verb: str) -> Callable[[Command], Answer]:
    """Return the function of a verb, importing the module of no other.

    What is asked in a window must not wait for all the rest.
    """
    module, _, function = VERBS[verb].where.partition(":")
    found: Callable[[Command], Answer] = getattr(import_module(f"{__name__}.{module}"), function)
    return found
