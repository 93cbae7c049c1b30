"""Changed mount settings or keys come into use while the bucket serves: a short window.

They were tried at the staging path before. If the power fails or the mount does not come back, the
bucket stays the media store: recovery starts the mount and the services, which their guard holds
until the mount answers. Settings that do not prove themselves give way to the earlier ones, which
were laid aside on disk.
"""

from __future__ import annotations

from . import mount, proof, recovery, services
from .context import Context, Stopwatch
from .errors import Problem


def remount(context: Context) -> None:
    journal = context.journal
    if journal.serving == "bucket":
        try:
            _once(context)
        except Exception as error:
            context.say(f"remount: {error}; going back to the earlier settings")
            if not mount.bring_earlier_back(context):
                raise
            earlier = Context.load(context.places)
            earlier.say = context.say
            _once(earlier)
            _settle(earlier)
            raise Problem(
                f"the new settings of the mount did not prove themselves, and the earlier ones serve again: {error}",
                "mend that, then run pulumi up again",
            ) from None
    _settle(context)


def _settle(context: Context) -> None:
    context.journal.facts["remount"] = False
    context.save()
    context.places.earlier.unlink(missing_ok=True)


def _once(context: Context) -> None:
    journal = context.journal
    down = Stopwatch()
    try:
        units = services.take_down(context, "remount")
        recovery.end_mount(context)
        assert journal.step
        journal.serving, journal.step.stage = "bucket", "starting"
        context.save()
    finally:
        recovery.recover(context)
    if units:
        proof.wait_for_homeserver(context)
        journal.facts["remounted"] = {"services_stopped_seconds": down.seconds}
        context.say(f"remount: the homeserver answers after {down.seconds:.1f} s")
        proof.prove(context)
        context.say("remount: proven; old files read back, a probe went through the mount into the bucket")
