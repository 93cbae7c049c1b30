"""This module is the verb `detach`, by which a mount ends. The mount's units call it."""

from __future__ import annotations

from ..host.system import System
from ..model.errors import Problem
from ..model.layout import HERE
from ..serving import admission, mount_point
from ..state.journal import Journal
from . import Answer
from .arguments import Command


def detach(command: Command) -> Answer:
    """Return once the unit's mount is gone from the command's path. Raises `Problem` where something stays."""
    system, where = System(), command.where
    try:
        journal = Journal.load(HERE)
    except Problem:  # a program that ends leaves no mount, whatever the journal says
        mount_point.clear(system, HERE.staging, where)
    else:
        admission.clear(system, journal, where)
    return {"detached": str(where)}
