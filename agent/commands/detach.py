"""This module is the verb `detach`, by which a mount ends. The mount's units call it."""

from __future__ import annotations

from ..host.system import System
from . import Answer
from .arguments import Command


def detach(command: Command) -> Answer:
    """Return once nothing is mounted at the command's path. Raises `Problem` where something stays."""
    System().unmount(command.where)
    return {"detached": str(command.where)}
