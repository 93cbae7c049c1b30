"""This module is the verb `detach`, by which a mount ends. The mount's units call it."""

from __future__ import annotations

from ..host.system import System
from ..model.layout import HERE
from ..serving import mount_point
from . import Answer
from .arguments import Command


def detach(command: Command) -> Answer:
    """Return once the unit's mount is gone from the command's path. Raises `Problem` where something stays."""
    mount_point.clear(System(), HERE.staging, command.where)
    return {"detached": str(command.where)}
