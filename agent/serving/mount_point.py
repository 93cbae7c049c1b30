"""This module is the folder over which the bucket is mounted as the media store, and mounts it there.

It lies in a folder of the homeserver's user, who may put anything in its place. So it is known by what it is: a folder
of root's that nobody may enter, as no media store is. And the mount is brought to it by its descriptor: the program
mounts at a place of ours, where nobody else may lay a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..host.beneath import Folder, beside
from ..host.mounts import covered
from ..model.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from ..model.ports import System

#: Nobody but root may enter it: were the mount gone, nobody else could write into it.
MODE = 0o000
#: Seconds for which a program may take to mount.
MOUNT_SECONDS = 60
#: Seconds for which a mount may wait beside the local store; its unit may take 120 to start.
BESIDE_SECONDS = 100


def make(parent: Folder, name: str) -> None:
    """Make the mount point. Raises FileExistsError where something has its name, by now too.

    A new folder is root's, and has its mode from the start: nothing that lies there in its place is made so.
    """
    os.mkdir(name, MODE, dir_fd=parent.number)
    parent.sync()
    if not is_ours(parent, name):
        raise FileExistsError(errno.EEXIST, "was replaced just now", str(parent.path / name))


def make_if_gone(path: Path) -> None:
    """Make the mount point at `path` where nothing has its name and its parent is there."""
    with contextlib.suppress(OSError), beside(path) as (parent, name):
        if parent.find(name) is None:
            make(parent, name)


def take_place_of_empty(path: Path) -> None:
    """Make the mount point in the place of an empty folder at `path`, if one lies there."""
    with contextlib.suppress(OSError), beside(path) as (parent, name):
        if not is_ours(parent, name):
            parent.remove_empty(name)
            make(parent, name)


def seal(system: System, path: Path) -> None:
    """Make the empty folder at `path` the mount point, beneath whatever is mounted over it; nothing is moved.

    Raises `Problem` where something lies in it, or it cannot be seen.
    """
    with _beneath(system, path) as folder:
        before = folder.metadata()
        if not is_what_it_is(before):
            folder.give((os.geteuid(), os.getegid()), MODE)  # first, so that nothing comes between
            if names := folder.names():
                folder.give((before.st_uid, before.st_gid), stat.S_IMODE(before.st_mode))
                raise _lies_beneath(path, names[0])
            folder.sync()


def is_beneath(system: System, path: Path) -> bool:
    """Return whether our mount point lies at `path`, whatever is mounted over it; one that cannot be seen does not."""
    try:
        with _beneath(system, path) as folder:
            return is_what_it_is(folder.metadata())
    except Problem:
        return False


def check_nothing_beneath(system: System, path: Path) -> None:
    """Raise `Problem` where something lies beneath what is mounted at `path`, or it cannot be seen."""
    with _beneath(system, path) as folder:
        if names := folder.names():
            raise _lies_beneath(path, names[0])


@contextlib.contextmanager
def _beneath(system: System, path: Path) -> Iterator[Folder]:
    """Open the folder at `path` itself. Raises `Problem` where it cannot be seen."""
    try:
        with covered(path) if system.layers(path) else Folder.at(path) as folder:
            yield folder
    except OSError as error:
        raise Problem(
            f"what lies beneath the mount at {path} cannot be seen: {error.strerror}",
            "Linux 5.2 or newer is needed for this; else look whether its disk is mounted",
        ) from None


def _lies_beneath(path: Path, name: str) -> Problem:
    return Problem(
        f"files lie beneath the mount at {path}, {name!r} first: nobody sees them, and the bucket may lack them",
        f"look at them (mount --bind {path.parent} /mnt), move them elsewhere, and run pulumi up again",
    )


def is_ours(parent: Folder, name: str) -> bool:
    """Return whether what has that name, where nothing is mounted, is our mount point."""
    info = parent.find(name)
    return info is not None and is_what_it_is(info)


def is_what_it_is(info: os.stat_result) -> bool:
    """Return whether this is the metadata of a mount point of ours."""
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) == MODE


def holds_a_store(path: Path) -> bool:
    """Return whether a folder lies at `path` that is no mount point of ours, and no link."""
    try:
        with beside(path) as (parent, name):
            return parent.has_folder(name) and not is_ours(parent, name)
    except OSError:  # the disk is not there, or somebody laid a link
        return False


def is_empty(path: Path) -> bool:
    """Return whether the folder at `path` has nothing in it, not even a folder of ours; one that is gone counts."""
    try:
        with Folder.at(path) as folder:
            return folder.names() == []
    except OSError:
        return True


def is_bare(system: System, path: Path) -> bool:
    """Return whether our mount point lies at `path`, and nothing is mounted over it."""
    if system.layers(path):
        return False
    try:
        with beside(path) as (parent, name):
            return is_ours(parent, name)
    except OSError:  # the disk is not there, or somebody laid a link
        return False


def check(point: Folder) -> None:
    """Raise `Problem` unless the open folder is our mount point."""
    if not is_what_it_is(point.metadata()):
        raise Problem(
            f"{point.path} is not this program's mount point, so nothing is mounted there",
            "look what it is: pulumi up puts it right once that is out of the way",
        )


def remove(parent: Folder, name: str) -> None:
    """Remove the mount point. Raises OSError where it is not empty: that is somebody's data."""
    parent.remove_empty(name)
    parent.sync()


def attach(system: System, mounted_at: Path, path: Path, ended: Callable[[], bool]) -> None:
    """Wait until a program has mounted at `mounted_at`, and bring that mount to our mount point at `path`.

    Units of earlier versions have it mount at `path` itself; they are left alone. Raises `Problem` where our mount
    point is not there, or the program does not mount, or has `ended`.
    """

    def is_over() -> bool:
        return system.mounted(mounted_at) or system.mounted(path) or ended()

    if not system.wait_until(is_over, MOUNT_SECONDS, every=0.01):
        raise Problem(f"nothing was mounted within {MOUNT_SECONDS} s", "see the lines before this one")
    if system.mounted(path):
        return
    bring(system, mounted_at, path)
    system.unmount(mounted_at)


def bring(system: System, mounted_at: Path, path: Path) -> None:
    """Let what is mounted at `mounted_at` be seen at our mount point `path`. Raises `Problem` where either is gone."""
    if not system.mounted(mounted_at):  # a bare folder would be shown in its place
        raise Problem("the mount ended", "see the lines before this one, or the journal of its unit")
    with Folder.at(path) as point:
        check(point)
        system.attach(mounted_at, point)


def clear(system: System, staging: Path, path: Path) -> None:
    """Unmount what a program mounted at `path`. What the staging path's shows there serves in its place, and stays.

    Raises `Problem` where something stays mounted that should not.
    """
    if path == staging or not system.shows_same(staging, path):
        system.unmount(path)


def wait_for(system: System, path: Path, ended: Callable[[], bool]) -> None:
    """Return once somebody brought a mount to `path`. Raises `Problem` where nobody does, or it has `ended`."""
    if not system.wait_until(lambda: system.mounted(path) or ended(), BESIDE_SECONDS) or not system.mounted(path):
        raise Problem(f"the mount was not brought to {path}", "the local store serves; see the lines before this one")
