"""This module is the verbs `keep` and `leave`, for a store of the stack that the media do not lie in."""

from __future__ import annotations

from ..migration import leave_store, recovery
from ..model.layout import HERE
from ..state.lock import locked
from ..state.run import Server
from . import Answer
from .arguments import Command
from .converge import unless_lost
from .wiring import run_here


def keep(command: Command) -> Answer:
    """Return the bucket that the stack keeps beside the one in use; nothing is done to it."""
    return {"kept": command.document["store"]["bucket"]}


@unless_lost
def leave(command: Command) -> Answer:
    """Give the bucket of the command's store free, or with `--empty-bucket` remove all that is in it.

    Raises `Problem` where an object in it is not accounted for.
    """
    with locked(HERE):
        recovery.recover(run_here())
        run = run_here(command.document)
        leave_store.leave(run, Server.load(HERE).settings.store, command.empty_bucket)
    return {"left": run.settings.store.bucket}
