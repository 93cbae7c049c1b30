"""This module is the verb `converge`, which brings the server to a phase.

It starts the unit that works, or follows the one that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..host.console import say
from ..migration import converge as driver
from ..model.errors import Problem
from ..model.layout import HERE
from ..model.phases import Phase, Side
from ..serving import playbook, probe
from ..setup.install import keep_copy_settings
from ..state import work
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command, Document
from .wiring import run_here


def unless_lost(verb: Callable[[Command], Answer]) -> Callable[[Command], Answer]:
    """Return the verb changed so that it does nothing for a stack from which another one took the server over."""

    def guarded(command: Command) -> Answer:
        holder = Server.load(HERE).settings.host.stack
        if command.stack and holder not in ("", command.stack):
            say(f"stack {holder} holds this server now: nothing is undone here")
            return {"held_by": holder}
        return verb(command)

    return guarded


@unless_lost
def converge(command: Command) -> Answer:
    """Bring the server to the command's phase, and return the verdict's numbers. Raises `Problem` where that fails."""
    assert command.phase
    return bring_to(command.phase, command.after, command.document)


def bring_to(phase: Phase, after: str, document: Document) -> Answer:
    """Bring the server to a phase, and return the verdict's numbers.

    It follows a run to the same phase that is under way, waits for one to another, and else starts one. Raises
    `Problem` where the server is not as it was seen, or the run fails.
    """
    if document:
        keep_copy_settings(run_here(document), document)
    while True:
        with work.starting(HERE):
            run = run_here()
            attached = request = work.running(HERE, run.system)
            if request:
                say(f"attached to the run to {request['target']} that is under way")
            elif run.journal.settled(phase):
                _check_serves(run.server, run.journal)
                return {**driver.verdict(run.journal), "already": True}
            else:
                driver.check_generation(run.journal, after)
                request = work.start(HERE, run.system, phase, after)
        try:
            done = work.follow(HERE, run.system, request, say)
        except work.EndedFromOutside as problem:
            if attached is None:
                raise
            say(f"{problem.what}; starting anew")  # it was ending when this run found it
            continue
        if request["target"] == phase:
            return passed(done)


def passed(done: dict[str, Any]) -> Answer:
    """Return the verdict of a run that succeeded. Raises the `Problem` of one that did not."""
    if not done["ok"]:
        raise Problem(done["what"], done["fix"])
    return {name: value for name, value in done.items() if name not in ("ok", "id")}


def _check_serves(server: Server, journal: Journal) -> None:
    """Raise `Problem` where the bucket should serve and does not."""
    if journal.serving is Side.BUCKET:
        probe.check_answers(server.system, journal.owner, server.store_path, playbook.serving_unit(server))
