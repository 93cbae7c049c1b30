"""This module is the verb `mount`, which puts the mount in place, and mounts anew where the bucket serves already.

Where the stack names another store than the one that serves, the media move there first.
"""

from __future__ import annotations

from ..host.console import say
from ..host.system import System
from ..migration import recovery
from ..model.errors import Problem
from ..model.layout import HERE
from ..model.phases import MOVE, REMOUNT, Owed, Side
from ..serving.mount import keep_running, take_over
from ..setup import mount as setup
from ..setup import move
from ..setup.install import keep_copy_settings
from ..state import work
from ..state.lock import locked
from ..state.run import Server
from . import Answer
from .arguments import Command
from .converge import passed
from .under_way import follow_or_end
from .wiring import run_here

#: Sections of settings that a stack with several stores tells here, before its phase's run is told them.
FOR_A_MOVE = ("host", "copy", "migration", "cutover")


def mount(command: Command) -> Answer:
    """Lay the mount's files, and return once they are in use; `mounted` says whether the bucket serves.

    After a move, `moved` has the numbers of that. Raises `Problem` where a check fails or the new files do not serve.
    """
    followed = follow_or_end(command.document)
    moved: Answer = {"moved": followed} if followed else {}
    while _begin_move(command):
        try:
            moved = {"moved": _work(MOVE)}
        except Problem as problem:
            if Owed.LEFT not in run_here().journal.owed:
                raise
            # The new store serves. What the rest needs may come with the phase, whose run goes on with it.
            say(f"the move is not over: {problem}")
            break
    with locked(HERE):
        # First the new settings: they may be what a mount that does not come up was waiting for.
        run = run_here(command.document)
        if run.journal.serving is not Side.LOCAL:
            try:
                take_over(run.server, run.journal.owner)
            except Problem as problem:  # it may wait for the new settings too
                say(f"our own mount does not take its place again: {problem}")
        move.give_up(run)
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
        _work(REMOUNT)
    return {"mounted": journal.serving is Side.BUCKET, **moved}


def _begin_move(command: Command) -> bool:
    """Begin a move where the stack asks for one, and return whether one is to be gone on with."""
    with locked(HERE):
        run = run_here(command.document)
        if Owed.LEFT in run.journal.owed:  # it was decided; should the stack want another store by now, that is next
            return True
        # A server whose store stays is not recovered here: the new settings may be what its mount waits for.
        if not move.is_another(Server.load(HERE), run.server):
            return False
        recovery.recover(run_here())
        run = run_here(command.document)
        if run.journal.serving is not Side.BUCKET:
            return False
        keep_copy_settings(run, {name: command.document[name] for name in FOR_A_MOVE if name in command.document})
        take_over(run_here().server, run.journal.owner)  # where a change of settings was interrupted
        move.begin(run)
        return True


def _work(target: str) -> Answer:
    with work.starting(HERE):
        system = System()
        request = work.running(HERE, system) or work.start(HERE, system, target)
    return passed(work.follow(HERE, system, request, say))
