"""The window in which the bucket becomes the media store.

What is true if the power fails:
- before the step is in the journal: the local store serves;
- at `delta` (services stopped or stopping): the local store is untouched and serves again;
- at `swapping`: nobody wrote to the bucket through the mount yet, so the local copy is complete; it
  is renamed back and serves again;
- once `serving` says bucket: the bucket holds all, the mount unit is enabled, and it serves. Only the
  proof is missing (`proven` is false); the next converge makes it up, or goes back.
`recovery.recover` does the above.
"""

from __future__ import annotations

from . import mirror, mount, proof, recovery, restore, services
from .context import Context, Stopwatch
from .errors import Problem
from .files import rename
from .journal import Step


def go_live(context: Context) -> None:
    """mirror -> live: refresh the mirror, then the window, then the proof."""
    journal = context.journal
    if journal.phase != "live":
        counted = mirror.mirror(context)
        mount.check_answers(context, context.places.staging)
        warm = mirror.delta(context)
        context.say(f"cutover: ready; {warm['changed']:,} files came while comparing")
        journal.facts["last"] = dict(counted)
        try:
            _window(context)
        except BaseException:
            recovery.recover(context)
            raise
    _prove(context)


def _window(context: Context) -> None:
    store, backup = context.settings.host.store_path, context.settings.host.backup_path
    journal = context.journal
    units = services.required(context)
    context.say(f"cutover: stopping {', '.join(units)}")
    journal.step, journal.serving = Step("cutover", "delta", units), "none"
    context.save()
    down = Stopwatch()
    context.system.stop(units)
    work = Stopwatch()
    changed = mirror.delta(context)
    journal.step.stage = "swapping"
    context.save()
    rename(store, backup)
    mount.make_mount_point(store)
    mount.start_final(context)
    seconds = work.seconds
    journal.facts["last"].update(window_seconds=seconds, window_files=changed["changed"])
    journal.facts["proven"] = False
    journal.step.stage, journal.serving, journal.phase = "starting", "bucket", "live"
    journal.generation += 1
    context.save()
    context.say(f"cutover: {changed['changed']:,} files in the window, {seconds:.1f} s; starting the services")
    context.system.start(units)
    proof.wait_for_homeserver(context)
    journal.facts["last"]["services_stopped_seconds"] = down.seconds
    context.say(f"cutover: the homeserver answers after {down.seconds:.1f} s")
    journal.step = None
    context.save()


def _prove(context: Context) -> None:
    """Prove that the bucket serves; go back to the local store where it does not."""
    try:
        shown = proof.prove(context)
    except Exception as error:
        context.say(f"cutover: the proof failed ({error}); going back to the local store")
        restore.back_to_local(context)
        raise Problem(
            f"the proof failed, and the local store serves again: {error}",
            "mend that, then run pulumi up again",
        ) from None
    context.journal.facts["proven"] = True
    context.journal.facts.setdefault("last", {})["proof"] = shown
    context.save()
    mount.stop_staging(context)
    context.say(f"live: {shown['sample_files']} old files read back, a probe went through the mount into the bucket")
