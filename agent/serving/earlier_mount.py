"""This module takes over a mount of the bucket that serves as the media store already: `host.adoptMount`.

It is the playbook's goofys, or one of somebody's own, by FUSE. Its unit is left as it is, with a drop-in of ours: once
our mount serves, a file of ours keeps that unit from starting. That file lies with the settings and has the unit's
name, so that neither a lost journal sets it free, nor a disk that is mounted late.

What is true if the power fails: until the journal says that the bucket serves by our mount, that file is not there, and
the earlier unit mounts at the next boot. From then on the earlier one is kept off, and ours mounts.
"""

from __future__ import annotations

import contextlib
import re
from typing import NamedTuple

from ..host import fuse
from ..host.beneath import beside
from ..host.control_groups import group_of
from ..host.files import write_atomic
from ..host.mounts import Mount, topmost
from ..host.units import quote, render
from ..model.errors import Problem
from ..model.layout import PLAYBOOK_UNIT, Layout
from ..model.phases import Phase
from ..state.journal import Journal
from ..state.records import LocalStore, Owner
from ..state.run import Server
from . import mount_point

#: The mode of a media store's folder, as the playbook makes it: a mount says nothing of it.
MODE = 0o750
#: Seconds for the top of the mount to be looked at: a dead one may hang.
LOOK_SECONDS = 10


class EarlierMount(NamedTuple):
    """An `EarlierMount` is a mount that serves as the media store: its unit, its file system, and whose it is."""

    unit: str
    kind: str
    owner: Owner

    def __str__(self) -> str:
        """Return it in words for a preview."""
        return f"{self.unit} ({self.kind})"


def is_due(server: Server, journal: Journal) -> bool:
    """Return whether an earlier mount is to be taken over, and nothing was done to this server yet."""
    is_new = journal.phase is Phase.LOCAL and journal.generation == 0
    return server.settings.host.adopt_mount and is_new and not server.layout.adopted.exists()


def find(server: Server) -> EarlierMount:
    """Return the mount that serves. Raises `Problem` where none does, or nothing is known to bring it back at boot."""
    store = server.store_path
    layers, mounted = server.system.layers(store), topmost(store)
    if server.system.has_disk(store):
        raise Problem(
            f"a disk, or systemd's automount, is mounted at {store}, and host.adoptMount takes over a bucket alone",
            "take x-systemd.automount out of its line in /etc/fstab, or unmount the disk beneath it",
        )
    if not layers or mounted is None:
        raise Problem(
            f"host.adoptMount is true, and nothing is mounted at {store}",
            "start what mounts it, or take host.adoptMount out where a local store is to be moved; see 'Taking over a "
            "mount' in docs/runbook.md",
        )
    if len(layers) > 1:
        raise Problem(f"{len(layers)} mounts lie over each other at {store}", "unmount all but the one that serves")
    return EarlierMount(_unit(server), mounted.kind, _owner(server, mounted))


def told(server: Server) -> str:
    """Return the mount that serves, in words for a preview."""
    try:
        return str(find(server))
    except Problem:  # the checks tell it
        return "what is mounted there"


def _owner(server: Server, mounted: Mount) -> Owner:
    """Return to whom the media belong: by the mount's top, and where root may not look there, by who mounted it."""
    store = server.store_path

    def look() -> tuple[int, int]:
        with beside(store) as (parent, name):
            info = parent.metadata(name)
        return info.st_uid, info.st_gid

    try:
        owner = Owner(*server.system.as_user(0, 0, look, timeout=LOOK_SECONDS))
    except OSError:
        options = dict(option.partition("=")[::2] for option in mounted.options.split(","))
        owner = Owner(int(options.get("user_id", 0)), int(options.get("group_id", 0)))
    if owner.uid == 0:
        raise Problem(
            f"the media in {store} belong to root", "have it mounted for the homeserver's user (uid=, gid=), and retry"
        )
    return owner


def _unit(server: Server) -> str:
    """Return the unit that mounts the media store. Raises `Problem` where not exactly one is known."""
    store = str(server.store_path)
    own = server.system.run(["systemd-escape", "--path", "--suffix=mount", store]).strip()
    if _file_of(server, own):  # a line of /etc/fstab has one too
        return own
    found = {unit for unit in {PLAYBOOK_UNIT, *_of_programs()} if _mounts(server, unit, store)}
    if len(found) == 1:
        return found.pop()
    none = "no unit of systemd's, nor line of /etc/fstab, is known to mount it"
    raise Problem(
        f"a bucket is mounted at {store}, and {'more than one does: ' + ', '.join(sorted(found)) if found else none}",
        "have exactly one such mount it, which this program can keep from doing so later; or unmount it",
    )


def _of_programs() -> set[str]:
    """Return the services whose programs serve file systems now."""
    found = set()
    for program in fuse.programs():
        with contextlib.suppress(OSError):  # it ended
            found.add(group_of(program.name).rpartition("/")[2])
    return {unit for unit in found if unit.endswith(".service")}


def _mounts(server: Server, unit: str, store: str) -> bool:
    """Return whether a unit runs whose command names that path, as a word of its own."""
    words = re.split(r"[\s=,:;'\"{}]+", _asked(server, "ExecStart", unit))
    return store in (word.rstrip("/") for word in words) and server.system.is_active(unit)


def _file_of(server: Server, unit: str) -> str:
    return _asked(server, "FragmentPath", unit) if unit else ""


def _asked(server: Server, what: str, unit: str) -> str:
    return server.system.systemctl("show", f"--property={what}", "--value", unit, check=False).strip()


def bound(server: Server, unit: str) -> set[str]:
    """Return the units that systemd stops as soon as that one is not active."""
    return {*_asked(server, "BoundBy", unit).split()}


def local_store(server: Server, found: EarlierMount) -> LocalStore:
    """Return what the journal is to say of the local store, should the media come home one day."""
    with beside(server.store_path) as (parent, _):
        return LocalStore(*found.owner, MODE, parent=parent.metadata().st_ino)


def drop_in(layout: Layout, unit: str) -> bytes:
    """Return the text of the drop-in for the earlier mount's unit."""
    template = "earlier-service.conf" if unit.endswith(".service") else "earlier-mount.conf"
    return render(template, adopted=quote(str(layout.adopted)))


def lay(server: Server, journal: Journal, unit: str) -> None:
    """Lay the drop-in by which that unit can be kept off, and neither starts again nor unmounts what serves by then."""
    journal.earlier_unit = unit
    journal.save()
    path = server.layout.drop_in(unit)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, drop_in(server.layout, unit), 0o644)
    server.system.systemctl("daemon-reload")


def leave_alone(server: Server, journal: Journal) -> None:
    """Take the drop-in back where the earlier mount serves on, since it was not taken over."""
    unit = journal.earlier_unit
    if not unit or journal.phase is not Phase.LOCAL or journal.window or server.layout.adopted.exists():
        return
    path = server.layout.drop_in(unit)
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's drop-ins are there too
        path.parent.rmdir()
    server.system.systemctl("daemon-reload", check=False)
    journal.earlier_unit = ""
    journal.save()


def keep_off(server: Server, journal: Journal) -> None:
    """Keep the earlier unit from mounting, from now on and after each boot, where ours took its place."""
    if journal.earlier_unit and journal.phase is not Phase.LOCAL and not server.layout.adopted.exists():
        journal.save()  # it may not have been written before
        write_atomic(server.layout.adopted, journal.earlier_unit.encode())


def kept_off(layout: Layout) -> str:
    """Return the unit that is kept from mounting; it is empty where none is."""
    try:
        return layout.adopted.read_text().strip()
    except OSError:
        return ""


def check_gone(server: Server) -> None:
    """Raise `Problem` where the earlier unit is there, and nothing would keep it off the local store any more."""
    unit = kept_off(server.layout)
    if unit and _file_of(server, unit):
        how = (
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook"
            if unit == PLAYBOOK_UNIT
            else "remove it, or its line in /etc/fstab, and run systemctl daemon-reload"
        )
        raise Problem(
            f"{unit}, whose mount this program took over, is there still, and would mount the bucket over the local "
            "media store",
            f"{how}; then try again",
        )


def end(server: Server) -> None:
    """Unmount the earlier mount, and leave our mount point in its place; its program ends once nobody reads from it.

    Raises `Problem` where something lies beneath it.
    """
    mount_point.seal(server.system, server.store_path)
    server.system.unmount(server.store_path)


def finish(server: Server) -> None:
    """Let our mount be the media store where that was interrupted, or our mount point lie bare for its unit."""
    if not server.system.shows_same(server.layout.mounting, server.store_path):
        take_place(server)


def take_place(server: Server) -> None:
    """Let our mount, which waits beside, be the media store in the place of the earlier one.

    Nobody may write meanwhile. Where ours is not there, its unit mounts later. Raises what `end` does.
    """
    system, place = server.system, server.layout.mounting
    end(server)
    if system.mounted(place):
        mount_point.bring(system, place, server.store_path)
