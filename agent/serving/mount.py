"""This module mounts the bucket as a folder, by units of systemd: at the staging path or at the media store."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.beneath import Folder
from ..host.files import sync_folder
from ..host.mounts import top_of
from ..model.errors import CommandFailed, Problem
from ..model.layout import MOUNT_UNIT, STAGING_UNIT, WATCHDOG_UNIT
from ..model.phases import Owed, Side
from ..state.journal import Journal
from ..state.records import Owner
from ..state.run import Server
from . import mount_point, playbook, probe, writers

if TYPE_CHECKING:
    from ..model.ports import Say

#: Seconds for which a mount that ended as it was started may come up by systemd's next try, which is 2 s later.
AGAIN_SECONDS = 10.0
#: Seconds for which whoever reads a large file may go on, once its mount is the media store no more.
LEAVE_SECONDS = 120.0
#: Seconds after which that is told.
SOON_SECONDS = 3.0


def ours_serves(server: Server, serving: Side) -> bool:
    """Return whether the bucket serves by a mount of ours, and not by the playbook's."""
    return serving is Side.BUCKET and playbook.serving_unit(server) == MOUNT_UNIT


def units_to_run(server: Server, serving: Side) -> list[str]:
    """Return the units that must be enabled and run as long as the bucket serves, that of the mount first."""
    return [playbook.serving_unit(server), WATCHDOG_UNIT] if serving is Side.BUCKET else []


def keep_running(server: Server, journal: Journal) -> None:
    """Start again what was stopped or disabled by hand, and restart the watchdog, which takes up a newer agent so.

    An earlier mount that serves still gives way to ours in the remount that is owed. Raises what `start_final` does.
    """
    owner, units, is_active = journal.owner, units_to_run(server, journal.serving), server.system.is_active
    for unit in units:
        server.system.systemctl("enable", "--quiet", unit)
    if units:
        earlier = journal.earlier_unit if Owed.REMOUNT in journal.owed else ""
        earlier_serves = bool(earlier) and is_active(earlier)
        if not earlier_serves and not is_active(units[0]):
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


def start_beside(server: Server, owner: Owner, seconds: float = mount_point.MOUNT_SECONDS) -> None:
    """Have the unit of the media store mount at a place of ours, and return once the bucket answers there.

    It is enabled by then, and waits for `bring`. Raises `Problem` where it does not come up within `seconds`.
    """
    system, place = server.system, server.layout.mounting
    unit = _enable_final(server)
    system.start([unit], wait=False)
    if not system.wait_until(lambda: system.mounted(place), seconds, every=0.05):
        raise Problem(f"{unit} does not mount", f"see journalctl -u {unit} on the server")
    probe.check_answers(system, owner, place, unit)


def bring(server: Server) -> None:
    """Bring the mount that `start_beside` started to our mount point. Raises `Problem` where that is not there."""
    mount_point.bring(server.system, server.layout.mounting, server.store_path)


def settle_beside(server: Server) -> None:
    """Take the mount that was brought to the media store away from where it was, and watch over it."""
    server.system.unmount(server.layout.mounting)
    server.system.start([WATCHDOG_UNIT], wait=False)


def take_beside(server: Server) -> None:
    """Take our mount from the media store to a place of ours, where it lives on for whoever reads from it still."""
    _keep_beside(server)
    server.system.unmount(server.store_path)


def _keep_beside(server: Server) -> None:
    if not server.system.mounted(server.store_path):  # or a bare folder would be kept
        raise Problem(
            "the mount ended",
            f"see journalctl -u {MOUNT_UNIT} on the server; once it is there again, run pulumi up again",
        )
    with top_of(server.store_path) as mounted, Folder.at(server.layout.mounting) as place:
        server.system.attach(mounted, place)


def bring_back(server: Server) -> None:
    """Bring our mount back to the media store, where `take_beside` was the last that was done."""
    system, path = server.system, server.store_path
    if system.mounted(server.layout.mounting) and mount_point.is_bare(system, path):
        with contextlib.suppress(Problem):  # it ended: its unit starts it anew
            mount_point.bring(system, server.layout.mounting, path)
            system.unmount(server.layout.mounting)


def keep_ours(server: Server) -> None:
    """Have our mount be the media store where that of the staging path took its place in a move that is not decided."""
    if server.system.shows_same(server.layout.staging, server.store_path):
        server.system.unmount(server.store_path)
    bring_back(server)


def leave_earlier_store(server: Server) -> None:
    """Take our mount of the store that a move left away from everywhere; started again, it is of the new one."""
    server.system.unmount(server.layout.mounting)
    if not server.system.shows_same(server.layout.staging, server.store_path):
        server.system.stop([MOUNT_UNIT])


def show_staging(server: Server, check: Callable[[], None]) -> None:
    """Let the mount at the staging path be the media store, and take ours beside; nobody may write meanwhile.

    Where `check` raises, ours is the media store still.
    """
    _keep_beside(server)
    _replace(server, server.layout.mounting, server.layout.staging, check)


def show_beside(server: Server, check: Callable[[], None]) -> None:
    """Let our mount that `start_anew` started be the media store, in the place of the one at the staging path.

    Nobody may write meanwhile. Where `check` raises, that of the staging path is the media store still.
    """
    _replace(server, server.layout.staging, server.layout.mounting, check)


def _replace(server: Server, old: Path, new: Path, check: Callable[[], None]) -> None:
    system, path = server.system, server.store_path
    system.unmount(path)
    try:
        mount_point.bring(system, new, path)
        check()
    except BaseException:
        system.unmount(path)
        mount_point.bring(system, old, path)
        raise


def end_unread(server: Server, unit: str, say: Say) -> None:
    """End our mount at a place of ours, or the one at the staging path, once nobody reads from it; the unit says which.

    After LEAVE_SECONDS it ends in any case.
    """
    system = server.system
    system.unmount(server.layout.staging if unit == STAGING_UNIT else server.layout.mounting)

    def has_ended() -> bool:
        return not system.is_active(unit)

    if not system.wait_until(has_ended, SOON_SECONDS):
        say(f"somebody still reads from the mount that was replaced: it ends after that, or in {LEAVE_SECONDS:.0f} s")
        system.wait_until(has_ended, LEAVE_SECONDS)
    system.stop([unit])


def leave(server: Server, say: Say) -> None:
    """End our mount of a media store that is local again, once nobody reads from it."""
    if server.system.is_active(MOUNT_UNIT):
        end_unread(server, MOUNT_UNIT, say)
    stop_final(server)


def start_anew(server: Server, owner: Owner) -> None:
    """Start our unit while another mount is the media store, and return once it answers at a place of ours.

    Raises `Problem` where it does not come up.
    """
    _start(server, owner, _enable_final(server), server.layout.mounting)


def take_over(server: Server, owner: Owner) -> None:
    """Have our own mount serve where that of the staging path does, since a change of settings was interrupted.

    It comes up beside first; nobody is held meanwhile. Raises what `start_anew` does.
    """
    system = server.system
    if system.shows_same(server.layout.staging, server.store_path):
        if not system.mounted(server.layout.mounting):
            system.stop([MOUNT_UNIT])  # its program may still be there for somebody who reads
        start_anew(server, owner)
        show_beside(server, lambda: None)
        settle_beside(server)


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
        for path in (server.store_path, server.layout.mounting):
            server.system.unmount(path)  # the program then ends by itself, before systemd need ask it to
    stop_beside(server)  # one that waited beside the local store, and was killed


def stop_beside(server: Server) -> None:
    """Stop our unit, and what it mounted beside whoever serves; what is the media store is left alone."""
    disable_final(server)
    with contextlib.suppress(CommandFailed):
        server.system.stop([WATCHDOG_UNIT, MOUNT_UNIT])
    server.system.unmount(server.layout.mounting)


def disable_final(server: Server) -> None:
    """See that neither our mount of the media store nor the watchdog is started at boot. Whoever serves enables them.

    It does not fail where somebody removed a unit's file: what matters is what is mounted.
    """
    server.system.systemctl("disable", "--quiet", "--no-reload", WATCHDOG_UNIT, MOUNT_UNIT, check=False)
    wants = server.layout.units / "multi-user.target.wants"
    if wants.is_dir():
        sync_folder(wants)  # a power loss must not bring the mount back at boot
