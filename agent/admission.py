"""Whether a mount may come up now. Asked before each start of its unit, in a window too: it imports little."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import Any

from . import places
from .errors import Problem
from .files import read_json
from .journal import Journal
from .settings import Settings, parse
from .system import System

#: Most seconds between two tries of a mount that ends at once; the wait doubles up to this.
BACK_OFF_SECONDS = 15.0


def allowed(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """The verb of that name."""
    here = places.HERE
    check(System(), parse(read_json(here.settings) or {}), Journal.load(here), arguments.where)
    back_off(System(), arguments.unit)
    return {"allowed": str(arguments.where)}


def check(system: System, settings: Settings, journal: Journal, where: Path) -> None:
    """`Problem` if the bucket is about to be mounted over a local media store, which is known by its inode."""
    if where != settings.host.store_path:
        return
    step = journal.step
    comes_home = journal.serving == "none" and step and (step.name == "restore" or step.stage == "undoing")
    bare = not system.layers(where)
    if journal.serving == "local" or comes_home or bare and _inode(where) == journal.facts.get("store_inode"):
        raise is_local(where)


def is_local(where: Path) -> Problem:
    return Problem(f"{where} is the local media store", "the bucket is mounted there in phase live only")


def _inode(path: Path) -> int:
    """0 where nothing is there."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_ino
    return 0


def back_off(system: System, unit: str) -> None:
    """Wait before a mount that ended is tried once more: twice as long each time.

    systemd counts the tries; a mount that is well again starts from none, see `watchdog`.
    """
    tries = system.systemctl("show", "--property=NRestarts", "--value", unit, check=False).strip()
    # The count grows for as long as a store is away: a power of it must not.
    system.pause(min(2.0 ** min(int(tries or 0), 10) - 1, BACK_OFF_SECONDS))
