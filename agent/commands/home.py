"""This module has the verbs `unmount` and `uninstall`, which `pulumi destroy` calls.

The media store comes home first, whatever the state believed.
"""

from __future__ import annotations

from ..migration import empty_bucket
from ..model.layout import HERE
from ..model.phases import ANY, Phase
from ..setup import install
from ..state.journal import Journal
from ..state.lock import locked
from . import Answer
from .arguments import Command
from .converge import bring_to, unless_lost
from .wiring import run_here


@unless_lost
def unmount(command: Command) -> Answer:
    """Bring the media store home, and take the mount away. Raises `Problem` where that fails."""
    _come_home()
    with locked(HERE):
        install.uninstall(run_here(), everything=False)
    return {"phase": Phase.LOCAL}


@unless_lost
def uninstall(command: Command) -> Answer:
    """Bring the media store home, and take everything away; with `--empty-bucket`, what is in the bucket too.

    Raises `Problem` where that fails.
    """
    _come_home()
    with locked(HERE):
        if command.empty_bucket:
            install.check_told_bucket(HERE, command.document)
            empty_bucket.empty(run_here(command.document))
        install.uninstall(run_here(), everything=True)
    return {"phase": Phase.LOCAL}


def _come_home() -> None:
    if not Journal.load(HERE).settled(Phase.LOCAL):
        if not HERE.agent.exists():
            install.place_agent(HERE, install.this_agent())
        bring_to(Phase.LOCAL, ANY, {})
