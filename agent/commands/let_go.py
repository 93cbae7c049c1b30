"""This module is the verb `let-go`, which ends a hold that was not ended. The timer of the hold calls it."""

from __future__ import annotations

from ..model.layout import HERE, WORK_UNIT
from ..serving import hold
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command


def let_go(command: Command) -> Answer:
    """Return once the services that were held go on; `late` says that they stood still until now.

    Whoever holds them is killed first: it must not move anything beneath services that go on. Recovery lets them go
    then, in the unit of long work; where it does not, this does.
    """
    server = Server.load(HERE)
    late = hold.is_on(HERE)
    if late:
        server.system.systemctl("kill", "--kill-who=main", "--signal=SIGKILL", WORK_UNIT, check=False)
        if not server.system.wait_until(lambda: not hold.is_on(HERE), hold.RECOVERY_SECONDS):
            if Journal.load(HERE).is_moving():
                server.system.unmount(server.store_path)  # what is written there now would stay behind
            hold.let_go(server)
    return {"late": late}
