"""This module meets a move that is under way, before a verb that must have the server for itself."""

from __future__ import annotations

from ..host.console import say
from ..host.system import System
from ..model.layout import HERE, WORK_UNIT
from ..model.phases import MOVE
from ..state import moving, work
from . import Answer
from .arguments import Document
from .converge import passed


def follow_or_end(document: Document) -> Answer:
    """Follow a move that is under way, and return its numbers; one to another store than the document's is ended.

    Recovery runs then, and nothing of the move holds unless it was decided. Without one, the answer is empty.
    """
    request = work.running(HERE, System())
    if not request or request["target"] != MOVE:
        return {}
    under_way = moving.read(HERE)
    if under_way and not under_way.goes_to(document["store"]):
        say("a move to another store is under way, which the stack does not want any more: it is ended")
        System().stop([WORK_UNIT])
        return {}
    say("attached to the move that is under way")
    return passed(work.follow(HERE, System(), request, say))
