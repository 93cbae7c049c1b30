"""The server's state as the last update saw it, for previews where the server cannot be reached."""

from __future__ import annotations

from typing import Any

import pulumi

from .observation import Observation


def last_known(phase: str) -> pulumi.Output[int]:
    """The generation to start from, from the stack's own outputs; 0 for a stack never updated."""
    this = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")

    def after(server: Any) -> int:
        if not server or "generation" not in server:
            return 0
        seen = Observation(phase=server["phase"], generation=int(server["generation"]), base=int(server["base"]))
        return seen.after(phase)

    return this.get_output("server").apply(after)
