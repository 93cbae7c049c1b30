"""This module is the verb `allowed`: whether the bucket may be mounted now. The mount's units call it."""

from __future__ import annotations

from ..host.files import read_json
from ..host.system import System
from ..model.layout import HERE
from ..model.settings import of_any_format, parse
from ..serving import admission
from ..state.journal import Journal
from . import Answer
from .arguments import Command


def allowed(command: Command) -> Answer:
    """Return where the bucket may be mounted, after a wait where the mount ended before.

    What a dead program left mounted there, or on the way there, is gone then. Raises `Problem` if not there.
    """
    settings, system = parse(of_any_format(read_json(HERE.settings) or {})), System()
    journal = Journal.load(HERE)
    admission.check(system, settings, journal, command.where)
    admission.back_off(system, command.unit)
    if command.where != HERE.staging:
        system.unmount(HERE.mounting)
    admission.clear(system, journal, command.where)
    if journal.window is None and command.where != HERE.staging:  # a window asked before it began
        admission.check_owner(settings.store, journal)
    return {"allowed": str(command.where)}
