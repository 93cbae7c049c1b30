"""Changed mount settings or keys come into use while the bucket serves: a short window.

They were tried at the staging path before. If the power fails or the mount does not come back, the
bucket stays the media store: recovery starts the mount and the services, which their guard holds
until the mount answers.
"""

from __future__ import annotations

from . import mount, proof, recovery, services
from .context import Context, Stopwatch


def remount(context: Context) -> None:
    journal = context.journal
    if journal.serving == "bucket":
        down = Stopwatch()
        try:
            units = services.take_down(context, "remount")
            mount.stop_final(context)
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
    journal.facts["remount"] = False
    context.save()
