"""Finishing or undoing what was interrupted; safe to run at any time, any number of times."""

from __future__ import annotations

import subprocess
import time

from . import handover, mount, services
from .context import Context
from .errors import Problem
from .files import rename
from .system import CommandFailed


def bring_local_copy_home(context: Context) -> None:
    """Unmount, and let the local copy be the media store again; each part only if still to do.

    The local copy is known by its inode, journalled before the swap: no other folder that happens to
    have its name is taken for it, and a disk that is not mounted yet is not taken for an empty store.
    """
    store, backup = context.settings.host.store_path, context.settings.host.backup_path
    inode = context.journal.facts["store_inode"]
    end_mount(context)
    if backup.is_dir() and backup.stat().st_ino == inode:
        if store.exists() and any(store.iterdir()):
            # Not ours and not expected: keep it, and say so, rather than stay stuck.
            aside = store.with_name(f"{store.name}-stray-{time.strftime('%Y%m%d-%H%M%S')}")
            rename(store, aside)
            context.say(f"recovery: files lay under the mount; they are kept in {aside}")
        mount.remove_mount_point(store)
        rename(backup, store)
    if not store.is_dir() or store.stat().st_ino != inode:
        raise Problem(
            f"the local copy of the media store is neither at {backup} nor at {store}",
            "is its disk mounted? Mount it and run pulumi up again; the services wait until then",
        )
    # A start that was under way may have seen the folder that lay here before; one from now on sees a local store.
    _clear(context)


def end_mount(context: Context) -> None:
    """Nothing is mounted as the media store any more, by ours or the playbook's unit."""
    mount.stop_final(context)
    _clear(context)


def _clear(context: Context) -> None:
    """To stop the playbook's unit ends what requires it: a homeserver too that was started in the window."""
    step = context.journal.step
    assert step
    if handover.there(context.settings, context.places):
        waiting = {*services.running(context), *context.system.queued(services.patterns(context))}
        if not waiting <= set(step.units):
            step.units = sorted({*step.units, *waiting})
            context.save()
    handover.clear(context)


def recover(context: Context, boot: bool = False) -> None:
    """After this the journal is settled (at most a proof is still missing) and services are starting.

    The step stays in the journal until the services were told to start, so a second interruption
    loses nothing. Their guard holds them until the media store is there, so a mount that does not
    come up keeps nobody from mending it. At boot nothing is waited for.
    """
    journal, step = context.journal, context.journal.step
    if step is None:
        return
    try:
        _choose_side(context)
        step.stage = "starting"
        context.save()
    finally:
        _start(context, step.units, wait=False)
    journal.step = None
    context.save()
    if boot and journal.serving == "bucket":
        mount.bring_up(context)
    if not boot:
        if journal.serving == "bucket":
            mount.start_final(context)
        _start(context, step.units, wait=True)


def _start(context: Context, units: list[str], wait: bool) -> None:
    """A unit that is gone meanwhile must not hold up the others."""
    try:
        context.system.start(units, wait=wait)
    except (CommandFailed, subprocess.TimeoutExpired) as error:
        context.say(f"recovery: {error}")


def _choose_side(context: Context) -> None:
    """Decide who serves, by how far the step had come, and make it so on disk."""
    journal, step = context.journal, context.journal.step
    assert step is not None
    if step.stage == "starting":
        context.say(f"recovery: the {journal.serving} store serves; starting the services")
    elif step.name == "cutover":
        context.say(f"recovery: undoing a cutover interrupted at {step.stage!r}")
        if step.stage in ("swapping", "undoing"):
            step.stage = "undoing"  # from here on no mount comes up, whoever starts one
            context.save()
            bring_local_copy_home(context)
        journal.serving = "local"
    elif step.name == "restore" and step.stage == "swapping":
        context.say("recovery: finishing a restore")
        bring_local_copy_home(context)
        journal.serving, journal.phase = "local", "mirror"
        journal.generation += 1
    else:
        context.say(f"recovery: a {step.name} was interrupted; the bucket serves on")
        journal.serving = "bucket"
