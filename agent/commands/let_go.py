"""This module is the verb `let-go`, which ends a hold that was not ended. The timer of the hold calls it."""

from __future__ import annotations

import contextlib

from ..host.console import say
from ..model.errors import Problem
from ..model.layout import HERE, WORK_UNIT
from ..model.settings import Settings
from ..serving import hold
from ..state.run import Server
from . import Answer
from .arguments import Command

#: Seconds in which systemd must have killed a process.
KILL_SECONDS = 1.0


def let_go(command: Command) -> Answer:
    """Return once the services that were held go on; `late` says that they stood still until now.

    Whoever holds them is killed first: it must not move anything beneath services that go on. Recovery lets them go
    then, in the unit of long work; where it does not, this does, whatever else fails.
    """
    try:
        server = Server.load(HERE)
    except Problem:  # whatever the settings say
        server = Server(HERE, Settings())
    late = hold.is_on(HERE)
    if late:
        say(f"services stood still for {hold.HELD_SECONDS} s; what holds them is ended, and they go on")
        with contextlib.suppress(Exception):
            argv = ["systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", WORK_UNIT]
            server.system.run(argv, timeout=KILL_SECONDS)
            server.system.wait_until(lambda: not hold.is_on(HERE), hold.RECOVERY_SECONDS)
        hold.let_go(server)
    return {"late": late}
