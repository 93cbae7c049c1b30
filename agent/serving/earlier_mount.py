"""This module takes over a mount of the bucket that serves as the media store already: `host.adoptMount`.

It is the playbook's goofys, or one of somebody's own, by FUSE. Its unit is left as it is, with a drop-in of ours: once
our mount serves, a file of ours keeps that unit from starting.

What is true if the power fails: until the journal says that the bucket serves by our mount, that file is not there, and
the earlier unit mounts at the next boot. From then on the earlier one is kept off, and ours mounts.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import NamedTuple

from ..host import fuse
from ..host.beneath import beside
from ..host.control_groups import group_of
from ..host.files import write_atomic
from ..host.mounts import Mount, covered, topmost
from ..host.units import quote, render
from ..model.errors import Problem
from ..model.layout import PLAYBOOK_UNIT
from ..model.phases import Phase
from ..state.journal import Journal
from ..state.records import LocalStore, Owner
from ..state.run import Server
from . import mount_point

#: The mode of a media store's folder, as the playbook makes it: a mount says nothing of it.
MODE = 0o750
#: Names of each side that are looked for on the other, and seconds for them.
SAMPLE, SAMPLE_SECONDS = 25, 60
_REMEDY = (
    "take host.adoptMount out where a local store is to be moved; else see 'Taking over a mount' in docs/runbook.md"
)


class EarlierMount(NamedTuple):
    """An `EarlierMount` is a mount that serves as the media store: its unit, its file system, and whose it is."""

    unit: str
    kind: str
    owner: Owner

    def __str__(self) -> str:
        """Return it in words for a preview."""
        return f"{self.unit} ({self.kind})"


def is_due(server: Server, journal: Journal) -> bool:
    """Return whether an earlier mount is to be taken over, and was not yet."""
    adopts = server.settings.host.adopt_mount and journal.phase is Phase.LOCAL
    return adopts and not server.layout.adopted.exists()  # else the media came home by now


def find(server: Server) -> EarlierMount:
    """Return the mount that serves. Raises `Problem` where none does, or nothing is known to bring it back at boot."""
    store = server.store_path
    layers, mounted = server.system.layers(store), topmost(store)
    if not layers or mounted is None:
        raise Problem(
            f"host.adoptMount is true, and nothing is mounted at {store}", f"start what mounts it; or {_REMEDY}"
        )
    if len(layers) > 1:
        raise Problem(f"{len(layers)} mounts lie over each other at {store}", "unmount all but the one that serves")
    if not mounted.kind.startswith("fuse"):
        raise Problem(
            f"what is mounted at {store} ({mounted.kind}) is no bucket: host.adoptMount takes over goofys, s3fs or "
            "rclone",
            _REMEDY,
        )
    return EarlierMount(_unit(server), mounted.kind, _owner(store, mounted))


def told(server: Server) -> str:
    """Return the mount that serves, in words for a preview."""
    try:
        return str(find(server))
    except Problem:  # the checks tell it
        return "what is mounted there"


def _owner(store: Path, mounted: Mount) -> Owner:
    """Return to whom the media belong: by the mount's top, and where root may not look there, by who mounted it."""
    try:
        with beside(store) as (parent, name):
            info = parent.metadata(name)
        owner = Owner(info.st_uid, info.st_gid)
    except OSError:
        told = dict(option.partition("=")[::2] for option in mounted.options.split(","))
        owner = Owner(int(told.get("user_id", 0)), int(told.get("group_id", 0)))
    if owner.uid == 0:
        raise Problem(
            f"the media in {store} belong to root", "have it mounted for the homeserver's user (uid=, gid=), and retry"
        )
    return owner


def _unit(server: Server) -> str:
    """Return the unit that mounts the media store. Raises `Problem` where none is known."""
    store = str(server.store_path)
    own = server.system.run(["systemd-escape", "--path", "--suffix=mount", store]).strip()
    if _file_of(server, own):  # a line of /etc/fstab has one too
        return own
    if (server.layout.units / PLAYBOOK_UNIT).exists() and server.system.is_active(PLAYBOOK_UNIT):
        return PLAYBOOK_UNIT
    for program in fuse.programs():
        with contextlib.suppress(OSError):  # it ended
            unit = group_of(program.name).rpartition("/")[2]
            if unit.endswith(".service") and store in _asked(server, "ExecStart", unit):
                return unit
    raise Problem(
        f"a bucket is mounted at {store}, and no unit of systemd's nor line of /etc/fstab is known to mount it",
        "have such a one mount it, which this program can keep from doing so later; or unmount it",
    )


def _file_of(server: Server, unit: str) -> str:
    return _asked(server, "FragmentPath", unit) if unit else ""


def _asked(server: Server, what: str, unit: str) -> str:
    return server.system.systemctl("show", f"--property={what}", "--value", unit, check=False).strip()


def local_store(found: EarlierMount) -> LocalStore:
    """Return what the journal is to say of the local store, should the media come home one day."""
    return LocalStore(*found.owner, MODE)


def check(server: Server) -> None:
    """Raise `Problem` unless there is a mount that can be taken over, and it shows what the bucket has."""
    owner = find(server).owner
    backup = server.backup_path
    with beside(backup) as (parent, name):
        if parent.find(name) is not None:
            raise Problem(f"{backup} exists already", "it may be an earlier migration's copy: move it elsewhere first")
    check_point(server.store_path)
    if server.settings.store.endpoint:  # else it is not made yet
        _check_shows_same(server, owner)


def check_point(store: Path) -> None:
    """Raise `Problem` where something lies beneath the mount."""
    try:
        with covered(store) as folder:
            names = folder.names()
    except OSError as error:
        raise Problem(f"what lies beneath the mount at {store} cannot be seen: {error.strerror}", _REMEDY) from None
    if names:
        raise Problem(
            f"files lie beneath the mount at {store}, {names[0]!r} first: nobody sees them, and the bucket may lack "
            "them",
            f"look at them (mount --bind {store.parent} /mnt), move them elsewhere, and run pulumi up again",
        )


def _check_shows_same(server: Server, owner: Owner) -> None:
    """Raise `Problem` where names of the bucket are not in the mount, or the other way round; both are samples."""
    from ..media.listing import MediaObjects  # the guard, which imports this too, need not wait for them
    from ..media.walk import walk

    store, exclude = server.store_path, server.settings.copy.exclude
    objects = {item.key: item.size for item in itertools.islice(MediaObjects(server.bucket, exclude), SAMPLE)}

    def look() -> tuple[list[str], list[str]]:
        missing = [key for key, size in objects.items() if not _has(store / key, size)]
        return missing, [entry.path for entry in itertools.islice(walk(store, exclude), SAMPLE)]

    try:
        missing, files = server.system.as_user(*owner, look, timeout=SAMPLE_SECONDS)
    except OSError as error:
        raise Problem(f"the mount at {store} cannot be read: {error}", "mend it first, or see findmnt") from None
    unknown = [path for path in files if server.bucket.head(path) is None]
    if missing or unknown:
        one, other = ("bucket", "mount") if missing else ("mount", "bucket")
        raise Problem(
            f"the mount at {store} shows something else than bucket {server.settings.store.path}: "
            f"{[*missing, *unknown][0]!r} is in the {one}, and not in the {other}",
            "name the bucket that is mounted there, with its prefix (store.bucket, store.prefix, store.endpoint)",
        )


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def check_writes(server: Server, owner: Owner) -> None:
    """Raise `Problem` unless a file that is written through the mount is in the bucket as soon as it is closed.

    A mount with a cache of its own may have files that nobody else has.
    """
    from . import proof  # as above

    try:
        proof.write_probe(server.system, server.bucket, owner, server.store_path)
    except Problem as problem:
        raise Problem(
            f"the mount at {server.store_path} does not write to bucket {server.settings.store.path} at once: "
            f"{problem.what}",
            "stop what mounts it from caching writes (rclone: --vfs-cache-mode off), or name the bucket that it writes "
            "to; then run pulumi up again",
        ) from None


def drop_in(server: Server, unit: str) -> bytes:
    """Return the text of the drop-in for the earlier mount's unit."""
    template = "earlier-service.conf" if unit.endswith(".service") else "earlier-mount.conf"
    return render(template, adopted=quote(str(server.layout.adopted)))


def keep_off(server: Server, journal: Journal) -> None:
    """Keep the earlier unit from mounting, from now on and after each boot, where ours took its place."""
    if journal.earlier_unit and journal.phase is not Phase.LOCAL and not server.layout.adopted.exists():
        write_atomic(server.layout.adopted, b"")


def check_gone(server: Server, journal: Journal) -> None:
    """Raise `Problem` where the earlier unit is there, and nothing would keep it off the local store any more."""
    unit = journal.earlier_unit
    if unit and server.layout.adopted.exists() and _file_of(server, unit):
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
    system, place = server.system, server.layout.mounting
    if not system.shows_same(place, server.store_path):
        end(server)
        if system.mounted(place):
            mount_point.bring(system, place, server.store_path)


def take_place(server: Server) -> None:
    """Let our mount, which waits beside, be the media store in the place of the earlier one.

    Nobody may write meanwhile.

    Raises what `end` does.
    """
    end(server)
    mount_point.bring(server.system, server.layout.mounting, server.store_path)
