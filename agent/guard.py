"""The check before each start of a service that writes media."""

from __future__ import annotations

from pathlib import Path

from . import answers, handover, mount
from .context import Context
from .journal import Journal

#: How often the guard says in the journal why it waits, in seconds; and for how long a mount that served before
#: may be silent. Then services start over it all the same: without the store behind it media fail, and are refused
#: to whoever uploads them, but people can write to each other.
SAY_SECONDS = 30


def reason_to_wait(context: Context, journal: Journal) -> str:
    """Why the homeserver must not start now; empty where it may."""
    store: Path = context.settings.host.store_path
    if journal.serving == "none":
        return "the media store is being moved"
    if journal.serving == "bucket":
        reason = answers.trouble(context, store)
        return f"the bucket does not serve at {store}: {reason}" if reason else ""
    if not store.is_dir() or context.system.layers(store):
        return f"{store} is not the local media store"
    return ""


def merely_silent(context: Context, journal: Journal) -> bool:
    """Whether the mount is there, answered since it was started, and only its store does not answer now."""
    if journal.serving != "bucket" or not context.system.is_active(handover.serving_unit(context)):
        return False
    return answers.trouble(context, context.settings.host.store_path) not in ("", answers.NOT_MOUNTED, answers.DEAD)


def hold(context: Context) -> None:
    """Return once the media store is there, however long that takes: never over a bare directory."""
    if context.journal.serving == "bucket" and not context.system.is_active(handover.serving_unit(context)):
        mount.bring_up(context)
    reason = ""

    def free() -> bool:
        nonlocal reason
        reason = reason_to_wait(context, Journal.load(context.places))
        return not reason

    while not context.system.wait_until(free, SAY_SECONDS, every=0.5):
        if merely_silent(context, Journal.load(context.places)):
            context.say(f"starting without media until the store is back: {reason}")
            return
        context.say(f"waiting: {reason}")
