"""This module gives the local copy of the media store another name, even where the store is a disk of its own.

A folder is renamed. A disk that is mounted at the store's path cannot be, and stays mounted there, as the server has it
in /etc/fstab. A floor lies over it, an empty file system into which nobody may write: it is the mount point then. And
the disk is seen once more at the name that the local copy has. That name is written on the disk: this is the rename.

What is true if the power fails: all these mounts are gone, and the disk says what its name was; `settle` mounts it
there again before the bucket is mounted. Until the name is written, the disk has the earlier one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.beneath import Folder, beside
from ..model.errors import Problem
from ..model.layout import RESERVED, Layout
from ..model.ports import Layer
from . import mount_point

if TYPE_CHECKING:
    from ..model.ports import System
    from ..model.settings import HostSettings
    from ..state.run import Server

#: The file at the top of the disk with the name under which the local copy is seen; without it, it is the store.
NAME = f"{RESERVED}.name"
#: A name is shorter than this many bytes.
LONGEST = 256
#: The floor takes no file.
_FLOOR = f"size=4k,nr_inodes=1,mode={mount_point.MODE:04o}"


def is_one(server: Server) -> bool:
    """Return whether the media store is a disk of its own, or a folder that is bound to its place."""
    return server.system.has_disk(server.store_path)


def move(server: Server, parent: Folder, old: str, new: str) -> None:
    """Give the local copy, which is called `old` in the store's parent, another name, so that it survives a power loss.

    Where the store's name becomes free, our mount point gets it. Raises FileExistsError where the new one is taken.
    """
    own = server.store_path.name
    if is_one(server):
        with _disk(server.system, server.settings.host, server.layout) as disk:
            _note(disk, "" if new == own else new)
        _settle(server.system, server.settings.host, server.layout, comes_home=new == own)
        return
    parent.rename_entry(old, new)
    if old == own:
        mount_point.make(parent, own)


def where(server: Server) -> tuple[Path, Path]:
    """Return a path by which the disk of the local copy can be asked for its space, and the path to tell people."""
    store, hidden = server.store_path, server.layout.disk
    if not is_one(server):
        return store.parent, store.parent
    return (hidden if server.system.has_disk(hidden) else store), store


def settle(system: System, host: HostSettings, layout: Layout) -> None:
    """Mount a disk that is the media store where its name says, and nowhere else, with the floor over the store's path.

    One that says no name is left as it is. Raises `Problem` where its name is none of this program's, or cannot be
    read, or something else has it.
    """
    _settle(system, host, layout, comes_home=False)


def _settle(system: System, host: HostSettings, layout: Layout, *, comes_home: bool) -> None:
    store = host.store_path
    if not system.has_disk(store):
        return
    with _one_at_a_time(layout), beside(store) as (parent, _), _disk(system, host, layout) as disk:
        name = _name(disk)
        if name not in ("", *_names(host)):
            raise Problem(f"{store}/{NAME} says {name!r}, which this program did not write", "look who did that")
        if not name and not comes_home:
            return
        if name:
            # By way of one that shares nothing: or the floor would be seen wherever the disk is.
            with Folder.at(layout.var) as var:
                _show(system, var, layout.disk.name, disk, private=True)
            with Folder.at(layout.disk) as hidden:
                _show(system, parent, name, hidden, private=False)
            if not system.layers(store) and not mount_point.is_bare(system, store):
                with Folder.at(store) as top:
                    system.cover(top, _FLOOR, Layer.FLOOR)
        else:
            system.unmount(store, Layer.FLOOR)
        for other in _names(host):
            if other != name:
                _hide(system, parent, other)
        if not name:
            with Folder.at(layout.var) as var:
                _hide(system, var, layout.disk.name)


def _names(host: HostSettings) -> list[str]:
    """Return the names that a local copy has while it is not the media store."""
    return [path.name for path in (host.backup_path, host.incomplete_path, host.removing_path)]


@contextlib.contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Let nobody else mount the disk meanwhile: at boot, recovery and the mount's unit both want to."""
    with Folder.at(layout.var) as var:
        fcntl.flock(var.number, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _disk(system: System, host: HostSettings, layout: Layout) -> Iterator[Folder]:
    """Open the top of the disk. Raises `Problem` where it lies beneath a floor, and is seen nowhere else."""
    store = host.store_path
    if system.has_disk(layout.disk):
        store = layout.disk
    elif system.layers(store) or mount_point.is_bare(system, store):
        raise Problem(
            f"the disk mounted at {store} lies beneath the bucket, and is seen nowhere else",
            f"somebody unmounted {layout.disk}: reboot the server, then run pulumi up again",
        )
    with Folder.at(store) as disk:
        yield disk


def _name(disk: Folder) -> str:
    """Return the name that the disk says the local copy has; it is empty where it is the media store."""
    try:
        with disk.file(NAME) as file:
            return file.read(LONGEST).decode().strip() if os.fstat(file.fileno()).st_uid == 0 else ""
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise Problem(
            f"{disk.path}/{NAME} cannot be read: {error}", "is that disk well (journalctl -k)? The bucket serves on"
        ) from None


def _note(disk: Folder, name: str) -> None:
    """Write that name on the disk; return once it is there. An empty one takes the file away."""
    if disk.has_folder(NAME):  # somebody's
        disk.rename_entry(NAME, f"{NAME}-stray-{secrets.token_hex(4)}")
    if name:
        new = f"{NAME}.new"
        with contextlib.suppress(FileNotFoundError):
            disk.remove_file(new)
        disk.write(new, name.encode())
        disk.move(new, disk, NAME)
    else:
        with contextlib.suppress(FileNotFoundError):
            disk.remove_file(NAME)
    disk.sync()


def _show(system: System, parent: Folder, name: str, disk: Folder, *, private: bool) -> None:
    """Let the disk be seen as `name` too. Raises `Problem` where something else has that name."""
    if system.has_disk(parent.path / name):
        if private:  # whoever mounted it may have been killed before
            system.make_private(parent.path / name)
        return
    if parent.find(name) is None:
        mount_point.make(parent, name)
    if not mount_point.is_ours(parent, name):
        raise Problem(f"{parent.path / name} is in the way", "look what it is, and move it elsewhere")
    with parent.folder(name) as point:
        system.attach(Path(disk.magic_link), point)
    if private:
        system.make_private(parent.path / name)


def _hide(system: System, parent: Folder, name: str) -> None:
    """Let the disk not be seen any more as `name`, and remove the empty folder that it was mounted over."""
    system.unmount(parent.path / name, Layer.DISK)
    found = parent.find(name)
    if found is not None and found.st_uid == 0:
        with contextlib.suppress(OSError):  # not empty, or no folder: not ours
            parent.remove_empty(name)
