"""This module is the verb `recover`, which finishes or undoes what was interrupted.

It runs at boot, and after the unit of long work.
"""

from __future__ import annotations

import math

from ..host.console import say
from ..host.files import NO_ROOM
from ..migration import recovery
from ..model.layout import HERE, RECOVER_TIMER
from ..serving import disk
from ..state.lock import locked
from ..state.run import Server
from . import Answer
from .arguments import Command
from .wiring import run_here

#: Seconds between two tries to finish what was interrupted, where the disk is full.
FULL_SECONDS = 5.0


def recover(command: Command) -> Answer:
    """Finish or undo what was interrupted, and return the phase and who serves.

    While the disk is full it tries again and again: until the journal can be written, the services' guards hold them.
    Raises what `migration.recovery.recover` does.
    """
    server = Server.load(HERE)
    while True:
        try:
            with locked(HERE, wait=math.inf):
                # First: the journal is believed by what lies on disk.
                disk.settle(server.system, server.settings.host, server.layout)
                run = run_here()
                recovery.recover(run, boot=command.boot)
                run.system.systemctl("stop", "--no-block", RECOVER_TIMER, check=False)
            return {"phase": run.journal.phase, "serving": run.journal.serving}
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            say(f"waiting for room on the disk: {error}")
            server.system.pause(FULL_SECONDS)
