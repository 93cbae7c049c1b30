"""The check before each start of a service that writes media."""

from __future__ import annotations

from pathlib import Path

from . import mount
from .context import Context
from .errors import Problem
from .journal import Journal
from .places import MOUNT_UNIT

#: Shorter than systemd's default TimeoutStartSec of 90 s; the unit's Restart tries again after it.
WAIT_SECONDS = 60


def reason_to_wait(context: Context, journal: Journal) -> str:
    """Why the homeserver must not start now; empty where it may."""
    store: Path = context.settings.host.store_path
    if journal.serving == "none":
        return "the media store is being moved"
    if journal.serving == "bucket":
        reason = mount.trouble(context, store)
        return f"the bucket does not serve at {store}: {reason}" if reason else ""
    if not store.is_dir() or context.system.mounted(store):
        return f"{store} is not the local media store"
    return ""


def hold(context: Context) -> None:
    """Return once the media store is there; `Problem` after WAIT_SECONDS."""
    if context.journal.serving == "bucket" and not context.system.is_active(MOUNT_UNIT):
        context.system.start([MOUNT_UNIT], wait=False)

    def settled() -> bool:
        return not reason_to_wait(context, Journal.load(context.places))

    if not context.system.wait_until(settled, WAIT_SECONDS, every=0.5):
        raise Problem(
            f"not starting: {reason_to_wait(context, Journal.load(context.places))}",
            f"see journalctl -u {MOUNT_UNIT}; systemd tries again by itself",
        )
