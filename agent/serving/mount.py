"""This module mounts the bucket as a folder, by units of systemd: at the staging path or at the media store."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from ..host.files import sync_folder
from ..model.errors import CommandFailed, Problem
from ..model.layout import MOUNT_UNIT, STAGING_UNIT, WATCHDOG_UNIT
from ..model.phases import Side
from ..state.records import Owner
from ..state.run import Server
from . import mount_point, playbook, probe, writers

#: Seconds for which a mount that ended as it was started may come up by systemd's next try, which is 2 s later.
AGAIN_SECONDS = 10.0


def ours_serves(server: Server, serving: Side) -> bool:
    """Return whether the bucket serves by a mount of ours, and not by the playbook's."""
    return serving is Side.BUCKET and playbook.serving_unit(server) == MOUNT_UNIT


def units_to_run(server: Server, serving: Side) -> list[str]:
    """Return the units that must be enabled and run as long as the bucket serves, that of the mount first."""
    return [playbook.serving_unit(server), WATCHDOG_UNIT] if serving is Side.BUCKET else []


def keep_running(server: Server, owner: Owner, serving: Side) -> None:
    """Start again what was stopped or disabled by hand, and restart the watchdog, which takes up a newer agent so.

    Raises what `start_final` does.
    """
    units = units_to_run(server, serving)
    for unit in units:
        server.system.systemctl("enable", "--quiet", unit)
    if units:
        if not server.system.is_active(units[0]):
            services = writers.running(server)
            start_final(server, owner)
            server.system.start(services)  # should a unit that they require have ended with that
        server.system.systemctl("restart", WATCHDOG_UNIT)


def _start(server: Server, owner: Owner, unit: str, where: Path, again: float = 0) -> None:
    """Start a mount's unit, and return once it answers; `again` are seconds for systemd's own next tries."""
    system = server.system
    try:
        system.start([unit])
    except (CommandFailed, subprocess.TimeoutExpired):
        reason = probe.why_not_serving(system, owner, where) or "the mount ended"
        if not again or not system.wait_until(
            lambda: not probe.why_not_serving(system, owner, where), again, every=0.5
        ):
            raise Problem(f"{unit} does not start: {reason}", f"see journalctl -u {unit} on the server") from None
    probe.check_answers(system, owner, where, unit, lambda: not system.is_active(unit))


def start_staging(server: Server, owner: Owner) -> None:
    """Mount the bucket at the staging path, and return once it answers to the media store's owner.

    Raises `Problem` where it does not come up.
    """
    # Nothing is stopped meanwhile: that the store was busy for a moment is no reason to give up.
    _start(server, owner, STAGING_UNIT, server.layout.staging, AGAIN_SECONDS)


def stop_staging(server: Server) -> None:
    """Unmount the staging path, and stop its unit."""
    if (server.layout.units / STAGING_UNIT).exists():
        server.system.stop([STAGING_UNIT])
    server.system.unmount(server.layout.staging)


def start_final(server: Server, owner: Owner) -> None:
    """Mount the bucket as the media store, now and at each boot, and watch over it.

    Raises `Problem` where it does not come up.
    """
    unit = _enable_final(server)
    try:
        try:
            _start(server, owner, unit, server.store_path)
        except Problem:
            if playbook.serving_unit(server) == unit:
                raise
            _start(server, owner, _enable_final(server), server.store_path)  # another took over just now
    finally:
        # Last, since it takes time that a window should not; it also brings back a mount that did not come up.
        server.system.start([WATCHDOG_UNIT], wait=False)


def start_beside(server: Server, owner: Owner) -> None:
    """Have the unit of the media store mount at a place of ours, and return once the bucket answers there.

    It is enabled by then, and waits for `bring`. Raises `Problem` where it does not come up.
    """
    system, place = server.system, server.layout.mounting
    unit = _enable_final(server)
    system.start([unit], wait=False)
    if not system.wait_until(lambda: system.mounted(place), mount_point.MOUNT_SECONDS, every=0.05):
        raise Problem(f"{unit} does not mount", f"see journalctl -u {unit} on the server")
    probe.check_answers(system, owner, place, unit)


def bring(server: Server) -> None:
    """Bring the mount that `start_beside` started to our mount point. Raises `Problem` where that is not there."""
    mount_point.bring(server.system, server.layout.mounting, server.store_path)


def settle_beside(server: Server) -> None:
    """Take the mount that was brought to the media store away from where it was, and watch over it."""
    server.system.unmount(server.layout.mounting)
    server.system.start([WATCHDOG_UNIT], wait=False)


def bring_up(server: Server) -> None:
    """Have systemd mount the bucket as `start_final` does, but wait for nothing.

    This is for the server's boot, and for the guard of a service.
    """
    server.system.start([_enable_final(server), WATCHDOG_UNIT], wait=False)


def _enable_final(server: Server) -> str:
    """Enable the unit that mounts the media store, and the watchdog; return the former's name.

    Links are all it takes, so systemd need not read its units anew in a window.
    """
    if not playbook.unit_exists(server):
        # Else that file would keep ours from starting, and speak of a unit that comes some day.
        playbook.forget(server)
    unit = playbook.serving_unit(server)
    server.system.systemctl("enable", "--quiet", "--no-reload", unit, WATCHDOG_UNIT)
    return unit


def stop_final(server: Server) -> None:
    """Stop our mount of the media store and the watchdog, now and at each boot.

    The playbook's unit may mount on, see `recovery.end_mount`.
    """
    if playbook.serving_unit(server) == MOUNT_UNIT:
        server.system.unmount(server.store_path)  # the program then ends by itself, before systemd need ask it to
    # Neither fails where somebody removed a unit's file: what matters is what is mounted.
    units = [WATCHDOG_UNIT, MOUNT_UNIT]
    server.system.systemctl("disable", "--quiet", "--no-reload", *units, check=False)
    wants = server.layout.units / "multi-user.target.wants"
    if wants.is_dir():
        sync_folder(wants)  # a power loss must not bring the mount back at boot
    with contextlib.suppress(CommandFailed):
        server.system.stop(units)
    server.system.unmount(server.layout.mounting)  # one that waited beside the local store, and was killed
