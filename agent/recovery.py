"""Finishing or undoing what was interrupted; safe to run at any time, any number of times."""

from __future__ import annotations

import time

from . import mount
from .context import Context
from .files import rename, sync_folder
from .journal import Step


def bring_local_copy_home(context: Context) -> None:
    """Unmount, and let the local copy be the media store again; each part only if still to do."""
    store, backup = context.settings.host.store_path, context.settings.host.backup_path
    mount.stop_final(context)
    if backup.exists():
        if store.exists() and any(store.iterdir()):
            # Not ours and not expected: keep it, and say so, rather than stay stuck.
            aside = store.with_name(f"{store.name}-stray-{time.strftime('%Y%m%d-%H%M%S')}")
            rename(store, aside)
            context.say(f"recovery: files lay under the mount; they are kept in {aside}")
        mount.remove_mount_point(store)
        rename(backup, store)
        sync_folder(store.parent)


def recover(context: Context, boot: bool = False) -> None:
    """After this the journal is settled (at most a proof is still missing) and services run.

    At boot nothing is waited for: systemd starts the services after this unit.
    """
    journal, step = context.journal, context.journal.step
    if step is None:
        return
    if step.name == "cutover" and journal.serving != "bucket":
        context.say(f"recovery: undoing a cutover interrupted at {step.stage!r}")
        bring_local_copy_home(context)
        _settle(context, None, "local")
    elif step.name == "cutover":
        context.say("recovery: the bucket is the media store; only the proof is missing")
        _settle(context, None, "bucket")
        if not boot:
            mount.start_final(context)
    elif step.stage == "delta":
        context.say("recovery: a restore was interrupted; the bucket serves on")
        _settle(context, None, "bucket")
        if not boot:
            mount.start_final(context)
    elif step.stage == "starting":
        _settle(context, None, "local")
    else:
        context.say("recovery: finishing a restore")
        bring_local_copy_home(context)
        journal.phase = "mirror"
        journal.generation += 1
        _settle(context, None, "local")
    context.system.start(step.units, wait=not boot)


def _settle(context: Context, step: Step | None, serving: str) -> None:
    context.journal.step, context.journal.serving = step, serving
    context.save()
