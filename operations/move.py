"""This module moves the media to another store of the stack: shown, asked, then applied.

It sets `serve` and runs the update, as `pulumi config set serve NAME && pulumi up` does.
"""

from __future__ import annotations

from collections.abc import Callable

from pulumi import automation

from . import changed
from .workspace import edit_config


def move(stack: automation.Stack, name: str, agreed: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Have the store called `name` serve; return whether it was agreed to. Raises OperationError where it cannot be."""
    return changed.apply(stack, lambda file: edit_config(stack, file, "set", "serve", name), agreed, say)
