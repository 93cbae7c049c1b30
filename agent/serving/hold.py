"""This module holds the services that write media: their processes stand still while the store is moved beneath them.

What stands still is the control group of each such unit, and of each container that can write to the store, whoever
started it. They know nothing of it; whoever asks them something waits for that long.

What is true if the agent is killed: before anything stands still its groups are named in a file, and a timer runs. The
unit of long work ends with recovery, which lets them go as soon as a side serves. Where that does not come, the timer
lets them go. If the power fails, nothing stands still any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..host.control_groups import group_of, is_within
from ..host.files import read_json, write_json
from ..model.errors import CommandFailed, Problem
from ..model.items import View
from ..model.layout import THAW_TIMER, Layout
from ..state.journal import Journal
from ..state.run import Server
from . import disk, mount_point, playbook, store_in_use

#: Seconds after which a timer lets services go, whatever happened; and for which recovery may do so before.
HELD_SECONDS, RECOVERY_SECONDS = 5, 3.0
#: Seconds for the processes to stand still: one that waits for a disk, or a mount, does so once that answers.
FREEZE_SECONDS = 0.5


class Unfit(Problem):
    """This `Problem` says why services cannot be held here; they can be stopped still."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "set cutover.method to auto or restart: the services are stopped then")


@dataclass(frozen=True)
class Held:
    """A `Held` is what stands still: control groups, how their processes see the store, and which are Synapse's."""

    groups: tuple[str, ...]
    views: tuple[View, ...]
    synapses: tuple[str, ...]


def why_not(server: Server) -> str:
    """Return why services cannot be held on this server; the text is empty where nothing is known against it."""
    if not server.system.can_freeze():
        return "this server has control groups of version 1"
    if disk.is_one(server):
        return "the media store is a disk of its own"
    if playbook.may_mount(server):
        return "mount.managedBy is playbook"
    return ""


def look(server: Server, units: Sequence[str]) -> Held:
    """Return what would have to stand still now. Raises `Unfit` where that must not."""
    system = server.system
    seen = _views(server)
    groups = {*system.groups_of_units(units), *(view.group for view in seen if view.contained)}
    if any(not group.strip("/") or is_within(group_of("self"), [group]) for group in groups):
        raise Unfit("a process that can write to the media store is in the same control group as this program")
    if paused := system.frozen(sorted(groups)):
        raise Unfit(f"somebody else paused {paused[0]}")
    synapses = store_in_use.running(server)
    for process in synapses:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
            if not is_within(group_of(process), groups):
                raise Unfit(f"Synapse (process {process}) uses the media store, and no service of host.services is its")
    views = [view for view in seen if view.contained or is_within(view.group, groups)]
    return Held(tuple(sorted(groups)), tuple(views), tuple(synapses))


def _views(server: Server) -> list[View]:
    """Return who sees the store; that some see its mount at our own places too does not matter.

    The program of an earlier mount, which is taken over, must run on: whoever reads from that would wait for it.
    """
    seen = server.system.views(server.store_path, [server.layout.staging, server.layout.mounting])
    has_earlier = bool(Journal.load(server.layout).earlier_unit)
    return [view for view in seen if not (has_earlier and view.serves)]


def take(server: Server, held: Held) -> bool:
    """Have all that stand still, and return whether they do within FREEZE_SECONDS; where not, they are let go.

    Raises `Unfit` where no timer would let them go, or nothing can be frozen here.
    """
    system = server.system
    try:
        system.systemctl("restart", THAW_TIMER)
    except CommandFailed as error:
        raise Unfit(f"no timer would let the services go: {error}") from None
    write_json(server.layout.held, {"groups": held.groups})
    try:
        if system.freeze(held.groups, FREEZE_SECONDS):
            return True
    except FileNotFoundError:  # one is gone
        pass
    except OSError as error:
        let_go(server)
        raise Unfit(f"control groups cannot be frozen: {error}") from None
    let_go(server)
    return False


def came_since(server: Server, held: Held) -> bool:
    """Return whether by now a container can write to the store that does not stand still."""
    seen = _views(server)
    return any(view.contained and not is_within(view.group, held.groups) for view in seen)


def check_inside(server: Server, held: Held) -> None:
    """Raise `Unfit` where a process that stands still, or a Synapse that reads, does not see what the store is by now:
    what was mounted there, or what lies beneath.
    """
    wrong = server.system.blind(held.views, server.store_path)
    if wrong:
        raise Unfit(f"process {wrong[0].process} does not see what was done at {wrong[0].paths[0]}")
    if blind := {*held.synapses} - {*store_in_use.running(server)}:
        raise Unfit(f"Synapse (process {min(blind)}) does not see what was done at {server.store_path}")


def check_still(server: Server, held: Held) -> None:
    """Raise `Unfit` where something that should stand still does not: a container may have been made anew."""
    if not server.system.are_still(held.groups):
        raise Unfit("something that stood still was ended or thawed by somebody else")


def is_on(layout: Layout) -> bool:
    """Return whether something stands still, or may."""
    return layout.held.exists()


def let_go(server: Server) -> None:
    """Let all go on that stands still, if something does.

    Where neither side serves yet, nothing is left mounted at the store's path first: what is written there would stay
    behind.
    """
    if not is_on(server.layout):
        return
    try:
        if _is_moving(server):
            server.system.unmount(server.store_path)
            mount_point.make_if_gone(server.store_path)
    finally:
        server.system.thaw((read_json(server.layout.held) or {}).get("groups", []))
        server.layout.held.unlink(missing_ok=True)
        server.system.systemctl("stop", "--no-block", THAW_TIMER, check=False)


def _is_moving(server: Server) -> bool:
    """Return whether the journal on disk, and not one in memory, says that the store is being moved."""
    try:
        return Journal.load(server.layout).is_moving()
    except (Problem, OSError):
        return True
