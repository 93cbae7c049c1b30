"""This module is the verb `install`, which checks the server and puts the agent in place."""

from __future__ import annotations

from ..model.layout import HERE
from ..model.version import version
from ..setup import install as setup
from ..state.lock import locked
from . import Answer
from .arguments import Command
from .under_way import follow_or_end
from .wiring import run_here


def install(command: Command) -> Answer:
    """Check the server, put the agent in place, and return its version. Raises `Problem` where a check fails."""
    follow_or_end(command.document)
    with locked(HERE):
        setup.install(run_here(command.document), command.sha256, command.document)
    return {"version": version(command.sha256)}
