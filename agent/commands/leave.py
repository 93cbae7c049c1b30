"""This module is the verbs `keep` and `leave`, for a store of the stack that the media need not lie in."""

from __future__ import annotations

from ..migration import leave_store, recovery
from ..model.layout import HERE
from ..setup import move
from ..state import moving
from ..state.lock import locked
from ..state.run import Server
from . import Answer
from .arguments import Command
from .converge import unless_lost
from .wiring import run_here


def keep(command: Command) -> Answer:
    """Return the bucket that the stack keeps; nothing is done to it."""
    return {"kept": command.document["store"]["bucket"]}


@unless_lost
def leave(command: Command) -> Answer:
    """Give the bucket of the command's store free, or with `--empty-bucket` remove all that is in it.

    A move to it that was not decided is given up. Raises `Problem` where an object in it is not accounted for.
    """
    with locked(HERE):
        recovery.recover(run_here())
        run, under_way = run_here(command.document), moving.read(HERE)
        if under_way and under_way.goes_to(command.document["store"]):
            move.give_up(run_here())
        leave_store.leave(run, Server.load(HERE).settings.store, command.empty_bucket)
    return {"left": run.settings.store.bucket}
