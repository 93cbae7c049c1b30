"""The window in which the bucket becomes the media store.

What is true if the power fails:
- before the step is in the journal: the local store serves;
- at `delta` (services stopped or stopping): the local store is untouched and serves again;
- at `swapping` (`undoing`, once recovery began): nobody wrote to the bucket through the mount yet, so the local copy is
  complete; it is renamed back and serves again;
- once `serving` says bucket: the bucket holds all, the mount unit is enabled, and it serves. Only the
  proof is missing (`proven` is false); the next converge makes it up, or goes back. Where the kernel told what changed,
  one more walk over the local copy is part of that (`verified`).
`recovery.recover` does the above.
"""

from __future__ import annotations

import os

from . import delta, handover, mirror, mount, pace, proof, recovery, restore, services
from .context import Context, Stopwatch
from .errors import Problem
from .files import rename
from .listener import listening


def go_live(context: Context) -> None:
    """mirror -> live: refresh the mirror, then the window, then the proof."""
    journal = context.journal
    down = None
    if journal.phase != "live":
        _check_no_backup(context)
        counted = mirror.mirror(context)
        mount.start_staging(context)  # a reboot may have ended it
        with listening(context.settings.host.store_path) as listener:
            came, known = delta.before_window(context, listener)
            how = "the kernel tells what changes" if known.listener else "what changes is found by a walk"
            context.say(f"cutover: ready; {came:,} files came while comparing; {how}")
            _check_no_backup(context)
            pace.at_once(context)  # not to be asked in the window
            journal.facts["last"] = dict(counted)
            try:
                with context.hurrying():
                    down = _window(context, known)
            except BaseException:
                recovery.recover(context)
                raise
    _prove(context, down)


def _check_no_backup(context: Context) -> None:
    backup = context.settings.host.backup_path
    if os.path.lexists(backup):
        raise Problem(f"{backup} exists already", "it may be an earlier migration's copy: move it elsewhere first")


def _window(context: Context, known: delta.Known) -> Stopwatch:
    """Up to the commit. Returns the watch that was started when the services were told to stop."""
    store, backup = context.settings.host.store_path, context.settings.host.backup_path
    journal = context.journal
    services.required(context)
    journal.facts["store_inode"] = store.stat().st_ino
    down = Stopwatch()
    journal.facts["units"] = services.take_down(context, "cutover")
    work = Stopwatch()
    context.start_clock()
    changed = delta.in_window(context, known)
    assert journal.step
    journal.step.stage = "swapping"
    context.save()
    rename(store, backup)
    mount.make_mount_point(store)
    handover.choose(context)
    mount.start_final(context)
    journal.facts["last"].update(window_seconds=work.seconds, window_files=changed["changed"])
    journal.facts["proven"] = journal.facts["remount"] = False
    journal.facts["verified"] = changed["walked"]  # a walk missed nothing
    journal.step.stage, journal.serving, journal.phase = "starting", "bucket", "live"
    journal.generation += 1
    context.save()
    context.say(f"cutover: {changed['changed']:,} files in the window, {work.seconds:.1f} s; starting the services")
    return down


def _prove(context: Context, down: Stopwatch | None) -> None:
    """Start the services and prove that the bucket serves; go back to the local store where it does not."""
    journal = context.journal
    try:
        if journal.step:
            context.system.start(journal.step.units, timeout=context.settings.host.start_seconds)
            journal.step = None
            context.save()
        proof.wait_for_homeserver(context)
        if down:
            journal.facts["last"]["services_stopped_seconds"] = down.seconds
            context.say(f"cutover: the homeserver answers after {down.seconds:.1f} s")
        shown = proof.prove(context)
    except Exception as error:
        context.say(f"cutover: the proof failed ({error}); going back to the local store")
        restore.back_to_local(context, start=journal.facts.get("units", []))
        raise Problem(
            f"the proof failed, and the local store serves again: {error}", "mend that, then run pulumi up again"
        ) from None
    _verify(context)
    journal.facts["proven"] = True
    journal.facts.setdefault("last", {})["proof"] = shown
    context.save()
    mount.stop_staging(context)
    context.say(f"live: {shown['sample_files']} old files read back, a probe went through the mount into the bucket")


def _verify(context: Context) -> None:
    """Where this fails the bucket serves on: it holds all that anybody was told of. The next run looks again."""
    copy, facts = context.settings.host.backup_path, context.journal.facts
    if facts.get("verified", True):
        return
    if copy.is_dir() and copy.stat().st_ino == facts["store_inode"]:
        context.say("live: the bucket serves; looking through the local copy for what the window may have missed")
        delta.verify(context, copy)
    else:
        context.say(f"live: {copy} is gone, so it was not walked once more for what the window may have missed")
    facts["verified"] = True
