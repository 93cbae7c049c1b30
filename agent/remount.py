"""Changed mount settings or keys come into use while the bucket serves: a short window.

If the power fails or the mount does not come back, the bucket stays the media store: recovery starts
the mount and the services, which their guard holds until the mount answers.
"""

from __future__ import annotations

from . import mount, proof, recovery, services
from .context import Context
from .journal import Step


def remount(context: Context) -> None:
    units = services.running(context)
    context.say(f"remount: stopping {', '.join(units)}")
    context.journal.step, context.journal.serving = Step("remount", "delta", units), "none"
    context.save()
    try:
        context.system.stop(units)
        mount.stop_final(context)
    finally:
        recovery.recover(context)
    context.journal.facts["remount"] = False
    context.save()
    if units:
        proof.wait_for_homeserver(context)
