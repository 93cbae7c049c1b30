"""This module has the server's state as the last update saw it, for previews that cannot reach the server."""

from __future__ import annotations

import os
from typing import Any

import pulumi

from .observation import Observation, StartFrom

#: What a preview says that could not reach the server.
LAST_KNOWN = "planning with the last known state"
#: Where one of these is set, a preview that cannot reach the server fails: in CI nobody reads warnings.
STRICT = ("MATRIX_MEDIA_STORE_STRICT", "CI")


def is_strict() -> bool:
    """Return whether a preview that cannot reach the server is to fail, by the environment."""
    return any(os.environ.get(name, "").lower() not in ("", "0", "false", "no") for name in STRICT)


def last_known(phase: str, unreachable: str) -> pulumi.Output[StartFrom]:
    """Return what to start from, by the stack's own outputs.

    Of a stack that was never updated nothing is known: the preview fails with the text `unreachable`.
    """
    this = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")

    def start_from(known: list[Any]) -> StartFrom:
        server, repairs = known
        if not server or "generation" not in server:
            pulumi.log.error(unreachable)  # an error that is raised here would come with a traceback
            return Observation("local", 0, "0").start_from(phase)
        seen = Observation(server["phase"], int(server["generation"]), _text(server["base"]), repairs=repairs)
        return seen.start_from(phase)

    return pulumi.Output.all(this.get_output("server"), this.get_output("repairs")).apply(start_from)


def _text(base: Any) -> str:
    """Return the base as text: stacks of earlier versions have a number there, which comes back as 2.0."""
    return base if isinstance(base, str) else str(int(base))
