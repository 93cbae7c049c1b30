"""This module is the verb `guard`, which waits for the media store. The drop-ins of services that write call it."""

from __future__ import annotations

from ..host.console import say
from ..model.layout import HERE
from ..serving.guard import hold
from ..state.run import Server
from . import Answer
from .arguments import Command


def guard(command: Command) -> Answer:
    """Return once the media store is there, or merely its store is silent, see `serving.guard.hold`."""
    hold(Server.load(HERE), say)
    return {"guard": "passed"}
