"""This module is the verb `work`, which the transient unit runs: the work itself.

Progress and verdict go to files, for whoever follows.
"""

from __future__ import annotations

from typing import Any

from ..host import console
from ..migration import converge, move, recovery, remount
from ..model.errors import Problem
from ..model.layout import HERE
from ..model.phases import MOVE, REMOUNT, Milestone, Owed, Phase
from ..state import work as unit
from ..state.lock import locked
from ..state.run import Run
from . import Answer
from .arguments import Command
from .failures import EXPECTED, one_line
from .wiring import run_here


def say(text: str) -> None:
    """Print a line of progress, and add it to the file of whoever follows."""
    console.say(text)
    unit.tell(HERE, {"text": text})


def reached(milestone: Milestone, about: str) -> None:
    """Tell programs that a moment has come, in the file of progress."""
    unit.tell(HERE, {"milestone": milestone, "about": about})


def work(command: Command) -> Answer:
    """Do the work, write its verdict to a file, and return it; a failure that is no defect is a verdict too."""
    try:
        with locked(HERE):
            recovery.recover(_load())
            run = _load()  # that may have brought another store's settings into use
            if command.target == REMOUNT:
                remount.remount(run, _load)
            elif command.target == MOVE:
                move.move(run, _load)
                run = _load()
            else:
                converge.check_generation(run.journal, command.after)
                if Owed.LEFT in run.journal.owed:  # something may still be in the earlier store alone
                    move.end(run, _load, must=command.target != Phase.LOCAL)
                    run = _load()
                converge.converge(run, Phase(command.target), command.after)
        done: dict[str, Any] = {"ok": True, **converge.verdict(run.journal)}
    except Problem as problem:
        done = {"ok": False, "what": problem.what, "fix": problem.fix}
    except EXPECTED as error:
        done = {"ok": False, "what": one_line(error), "fix": "see journalctl -u matrix-media-store-converge"}
    unit.end(HERE, {"id": command.id, **done})
    return done


def _load() -> Run:
    return run_here(say=say, reached=reached)
