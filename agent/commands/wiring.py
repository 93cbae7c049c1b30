"""This module puts this server, and a run of the agent on it, together from the real parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..copying.transfer import Transfer
from ..host import console
from ..host.beneath import target_of
from ..media.heard import hearing
from ..media.listener import listening
from ..migration import evidence
from ..model.layout import HERE
from ..model.phases import Milestone
from ..serving.homeserver import Homeserver
from ..setup.mount import UNUSED
from ..state.run import Run, Server

if TYPE_CHECKING:
    from ..model.ports import Say


def run_here(
    *documents: dict[str, Any],
    say: Say = console.say,
    reached: Callable[[Milestone, str], None] = lambda milestone, about: None,
) -> Run:
    """Return a run on this server with the settings that lie on it, and newer ones (by section) laid over.

    `say` gets lines of progress for people, `reached` the moments that programs wait for.
    """
    server = Server.load(HERE, *documents)
    journal = evidence.journal_of(server)
    if journal.phase in UNUSED:
        told = Path(server.settings.host.media_store)
        found = target_of(told)
        resolved = {"host": {"resolved": str(found) if found != told else ""}}
        server = Server.load(HERE, *documents, resolved)
    return Run(
        server,
        journal,
        copier=Transfer(server, say),
        homeserver=Homeserver(server.settings.host, server.system),
        listen=listening,
        hear=hearing,
        say=say,
        reached=reached,
    )
