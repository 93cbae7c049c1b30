"""The services that write media: which they are, and their drop-ins."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from . import handover
from .context import Context
from .errors import Problem
from .files import sync_folder
from .journal import Step
from .places import PLAYBOOK_UNIT
from .system import RUNNING
from .templates import quote, render

#: What writes media on a server set up by matrix-docker-ansible-deploy.
WRITERS = (
    "matrix-synapse.service",
    "matrix-synapse-worker-*.service",
    "matrix-synapse-s3-storage-provider-migrate.timer",
    "matrix-synapse-s3-storage-provider-migrate.service",
)
DROP_IN = "matrix-media-store.conf"


def patterns(context: Context) -> Sequence[str]:
    return context.settings.host.services or WRITERS


def running(context: Context) -> list[str]:
    """Units that write media and run now; these are stopped, and exactly these started again."""
    found = context.system.units(patterns(context))
    return sorted(unit for unit, active in found.items() if active in RUNNING)


def required(context: Context) -> list[str]:
    """The running writers; a `Problem` where there are none, since nothing could be proven then."""
    units = running(context)
    if not units:
        raise Problem(
            f"none of the services runs that write media ({', '.join(patterns(context))})",
            "start the homeserver, or name its units in host.services",
        )
    return units


def take_down(context: Context, step: str, start: Sequence[str] = ()) -> list[str]:
    """Journal the step, then stop all that writes; returns what is to be started again.

    Nobody may serve before the list is final, so what is started meanwhile is held by its guard or seen.
    """
    journal, serving = context.journal, context.journal.serving
    journal.step, journal.serving = Step(step, "delta", sorted({*running(context), *start})), "none"
    try:
        context.save(dearly=False)
    except OSError:
        journal.step, journal.serving = None, serving  # nothing began
        raise
    down = running(context)
    journal.step.units = sorted({*journal.step.units, *down})
    context.save(dearly=False)
    context.say(f"{step}: stopping {', '.join(down) or 'nothing (no service runs)'}")
    _stop(context, down)
    return journal.step.units


def _stop(context: Context, units: list[str]) -> None:
    """`Problem` where units do not stop in time. They are killed then, since only so they can be started again."""
    patience = context.settings.host.stop_seconds
    try:
        context.system.stop(units, patience)
    except subprocess.TimeoutExpired:
        stuck = [unit for unit in running(context) if unit in units]
        context.system.systemctl("kill", "--signal=SIGKILL", *stuck, check=False)
        raise Problem(
            f"{', '.join(stuck)} did not stop within {patience} s, and was killed and started again",
            "look why in its journal, or give it more time with host.stopSeconds; then run pulumi up again",
        ) from None


def drop_in_folders(context: Context) -> list[Path]:
    """Folders for the guard: `name-*.service` is covered by systemd's `name-.service.d`."""
    folders = []
    for pattern in patterns(context):
        name, dot, kind = pattern.rpartition(".")
        if kind == "service":
            folders.append(context.places.units / f"{name.rstrip('*')}{dot}{kind}.d")
    return folders


def guard_files(context: Context) -> dict[Path, bytes]:
    """The drop-ins, for the playbook's mount too; they take effect at each service's next start."""
    parent = str(context.settings.host.store_path.parent)
    text = render("guard.conf", agent=str(context.places.agent), parent=quote(parent))
    files = {folder / DROP_IN: text for folder in drop_in_folders(context)}
    if handover.agreed(context):
        files[context.places.units / f"{PLAYBOOK_UNIT}.d" / DROP_IN] = render(
            "playbook.conf", agent=str(context.places.agent), parent=quote(parent)
        )
    return files


def remove_guard(context: Context, keep: Collection[Path] = ()) -> set[Path]:
    """Take away every drop-in of ours, whatever service it is for, but those in `keep`; returns what went."""
    gone = {path for path in context.places.units.glob(f"*.d/{DROP_IN}") if path not in keep}
    for path in gone:
        path.unlink()
        sync_folder(path.parent)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return gone
