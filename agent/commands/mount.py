"""This module is the verb `mount`, which puts the mount in place, and mounts anew where the bucket serves already."""

from __future__ import annotations

from ..host.console import say
from ..migration import recovery
from ..model.errors import Problem
from ..model.layout import HERE
from ..model.phases import REMOUNT, Owed, Side
from ..serving.mount import keep_running, take_over
from ..setup import mount as setup
from ..state import work
from ..state.lock import locked
from . import Answer
from .arguments import Command
from .converge import passed
from .wiring import run_here


def mount(command: Command) -> Answer:
    """Lay the mount's files, and return once they are in use; `mounted` says whether the bucket serves.

    Raises `Problem` where a check fails or the new files do not serve.
    """
    with locked(HERE):
        # First the new settings: they may be what a mount that does not come up was waiting for.
        run = run_here(command.document)
        if run.journal.serving is not Side.LOCAL:
            try:
                take_over(run.server, run.journal.owner)
            except Problem as problem:  # it may wait for the new settings too
                say(f"our own mount does not take its place again: {problem}")
        setup.install(run, command.document)
        recovery.recover(run)
        journal = run.journal
        try:
            keep_running(run.server, journal)
        except Problem as problem:
            # Not the end: the way home needs the bucket, not the mount. A phase that needs it fails by itself.
            say(f"the mount does not come up: {problem}")
        journal.note_repairs(command.repairs)
        journal.save()
    if Owed.REMOUNT in journal.owed and journal.serving is Side.BUCKET:
        with work.starting(HERE):
            request = work.running(HERE, run.system) or work.start(HERE, run.system, REMOUNT)
        passed(work.follow(HERE, run.system, request, say))
    return {"mounted": journal.serving is Side.BUCKET}
