"""Whether a mount may come up now. Asked before each start of its unit, in a window too: it imports little."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import handover, places
from .errors import Problem
from .files import read_json
from .journal import Journal
from .places import PLAYBOOK_UNIT, Places
from .settings import Settings, parse
from .system import System

#: Most seconds between two tries of a mount that ends at once; the wait doubles up to this.
BACK_OFF_SECONDS = 15.0


def allowed(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """The verb of that name."""
    here = places.HERE
    check(here, parse(read_json(here.settings) or {}), Journal.load(here), arguments.where)
    back_off(System(), arguments.unit)
    return {"allowed": str(arguments.where)}


def check(here: Places, settings: Settings, journal: Journal, where: Path) -> None:
    """`Problem` if the bucket is about to be mounted over a local media store that serves, or over another's mount."""
    if where != settings.host.store_path:
        return
    if handover.given_way(settings, here):
        raise Problem(
            f"the playbook's {PLAYBOOK_UNIT} mounts the bucket at {where}",
            "start that one, or take the matrix_s3_media_store_* lines out of vars.yml and run the playbook",
        )
    if journal.serving == "local":
        raise Problem(
            f"{where} is the local media store, and it serves", "the bucket is mounted there in phase live only"
        )


def back_off(system: System, unit: str) -> None:
    """Wait before a mount that ended is tried once more: twice as long each time.

    systemd counts the tries; a mount that is well again starts from none, see `watchdog`.
    """
    tries = system.systemctl("show", "--property=NRestarts", "--value", unit, check=False).strip()
    # The count grows for as long as a store is away: a power of it must not.
    system.pause(min(2.0 ** min(int(tries or 0), 10) - 1, BACK_OFF_SECONDS))
