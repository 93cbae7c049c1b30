"""This module is the verb `watch`, which watches over the mount. The watchdog's unit calls it."""

from __future__ import annotations

from ..model.layout import HERE
from ..serving import watchdog
from ..state.run import Server
from . import Answer
from .arguments import Command


def watch(command: Command) -> Answer:
    """Watch over the mount without end."""
    watchdog.watch(lambda: Server.load(HERE))
    raise AssertionError("unreachable")
