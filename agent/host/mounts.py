"""This module says what is mounted where, as the kernel lists it in /proc/self/mountinfo.

https://man7.org/linux/man-pages/man5/proc.5.html
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..model.errors import Problem
from ..model.ports import Layer
from .beneath import Folder, beside
from .processes import Processes

if TYPE_CHECKING:
    from ..model.ports import OpenFolder

#: More mounts over each other than a path ever has.
MOST_LAYERS = 20
#: The source of a mount that is there so that nobody can write; see `serving.playbook`.
COVER = "matrix-media-store-cover"
#: The source of a mount that is the mount point where a disk lies beneath; see `serving.disk`.
FLOOR = "matrix-media-store-floor"
#: File systems by FUSE that are disks, and no bucket.
DISKS = ("fuseblk", "fuse.mergerfs")


# From linux/mount.h
_NOSUID, _NODEV, _NOEXEC, _BIND, _PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x40000
_DETACH, _NOFOLLOW = 0x2, 0x8
#: The number of open_tree(2), the same on all processors, for which few C libraries have a function; and its flags.
_OPEN_TREE, _CLONE, _AT_EMPTY_PATH = 428, 0x1, 0x1000


class Mount(NamedTuple):
    """A `Mount` is a mounted file system: `place` is where, and `kind` is its type.

    `device` is major:minor, `source` is a device or a name that the program chose. `root` is the folder of the file
    system that is seen at `place`. `writable` says that it is not mounted for reading alone there. `options` are the
    file system's own, as the kernel lists them.
    """

    device: str
    root: str
    place: str
    kind: str
    source: str
    writable: bool = True
    options: str = ""


def mounts() -> list[Mount]:
    """Return all mounts; of those at one place, the topmost comes last."""
    return mounts_of("self")


def mounts_of(process: str) -> list[Mount]:
    """Return all mounts as that process sees them: its number, or `self`. Raises OSError where it ended."""
    # By line feeds and blanks alone: the kernel writes those of a name as numbers, and whoever may mount chooses names.
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return [_mount(line.rstrip("\n")) for line in file]


def _mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    fields, (kind, source, *options) = left.split(" "), right.split(" ")[:3]
    writable = "ro" not in fields[5].split(",")
    return Mount(fields[2], _unescape(fields[3]), _unescape(fields[4]), kind, source, writable, "".join(options))


def _unescape(field: str) -> str:
    """Return a field as text: the kernel writes blanks and backslashes in it as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


class Mounts(Processes):
    """This class says what is mounted on this server, and unmounts it."""

    def mounted(self, path: Path) -> bool:
        """Return whether a bucket is what is seen at `path`; a dead FUSE mount counts, a cover does not."""
        layers = _from(Layer.BUCKET, path)
        return bool(layers) and layers[-1].source != COVER and not _is_disk(layers[-1])

    def layers(self, path: Path) -> list[str]:
        """Return the sources of the mounts exactly at `path`, the topmost as the last, but for a disk and its floor."""
        return [mount.source for mount in _from(Layer.BUCKET, path)]

    def has_disk(self, path: Path) -> bool:
        """Return whether a disk is mounted exactly at `path`, or a folder of one, whatever lies over it."""
        found = _mounts_at(path)
        return any(mount.source != FLOOR for mount in found[: _ground(found)])

    def kind(self, path: Path) -> str:
        """Return the type of the file system that is mounted exactly at `path`; it is empty where none is."""
        found = topmost(path)
        return found.kind if found else ""

    def shows_same(self, path: Path, other: Path) -> bool:
        """Return whether what is mounted exactly at one path is what is mounted exactly at the other."""
        found, others = topmost(path), topmost(other)
        return found is not None and others is not None and found.device == others.device

    def attach(self, source: Path, point: OpenFolder) -> None:
        """Let what is mounted at `source` be seen at the open folder `point` too. Raises OSError.

        mount(8) would look for the folder by its path, which somebody may have laid a link into by now.
        https://man7.org/linux/man-pages/man2/mount.2.html
        """
        _call("mount", os.fsencode(source), point.magic_link.encode(), None, _BIND, None)

    def make_private(self, path: Path) -> None:
        """Have what is mounted over others of the same file system not be seen at `path`, in a folder of root's.

        Raises OSError.
        """
        _call("mount", None, os.fsencode(path), None, _PRIVATE, None)

    def cover(self, point: OpenFolder, options: str, layer: Layer = Layer.BUCKET) -> None:
        """Mount an empty file system over the open folder `point`, with these options of tmpfs. Raises OSError.

        On the layer FLOOR it is the floor over a disk.
        """
        flags, source = _NOSUID | _NODEV | _NOEXEC, FLOOR if layer is Layer.FLOOR else COVER
        _call("mount", source.encode(), point.magic_link.encode(), b"tmpfs", flags, options.encode())

    def unmount(self, path: Path, layer: Layer = Layer.BUCKET) -> None:
        """Take the mounts of `layer` and above it off `path`, lazily, since containers may still hold copies of them.

        Raises `Problem` where one stays; that another process took one off first is no error.
        """
        for _ in range(MOST_LAYERS):
            if not _from(layer, path):
                return
            # Never through a link in its place. EINVAL: another process was faster.
            with contextlib.suppress(OSError), beside(path) as (parent, name):
                _call("umount2", f"{parent.magic_link}/{name}".encode(), _DETACH | _NOFOLLOW)
        if _from(layer, path):
            raise Problem(f"{path} stays mounted", f"see findmnt {path} on the server, and unmount it by hand")


@contextlib.contextmanager
def covered(path: Path) -> Iterator[Folder]:
    """Open the folder at `path` itself, whatever is mounted over it. Raises OSError, before Linux 5.2 too.

    It is looked up in a copy of the mount that its parent is in, which nothing is mounted in and nobody else sees.
    https://man7.org/linux/man-pages/man2/open_tree.2.html
    """
    with beside(path) as (parent, name):
        copy = Folder(_call("syscall", _OPEN_TREE, parent.number, b"", _AT_EMPTY_PATH | _CLONE | os.O_CLOEXEC), path)
        with copy, copy.folder(name) as folder:
            yield folder


@contextlib.contextmanager
def top_of(path: Path) -> Iterator[Path]:
    """Give a path that leads this process to what is mounted at `path`, even where root may not look into that.

    Raises OSError.
    """
    with beside(path) as (parent, name):
        number = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.number)
        try:
            yield Path(f"/proc/self/fd/{number}")
        finally:
            os.close(number)


def topmost(path: Path) -> Mount | None:
    """Return what is mounted exactly at `path` over all else that is, or None where nothing is."""
    found = _mounts_at(path)
    return found[-1] if found else None


def _mounts_at(path: Path) -> list[Mount]:
    # The kernel names places by their real folders; the mount point itself is not followed, it may hang.
    wanted = os.path.join(os.path.realpath(path.parent), path.name)
    return [mount for mount in mounts() if mount.place == wanted]


def _ground(found: list[Mount]) -> int:
    """Return how many of the mounts at one path, from below, are a disk and the floor over it."""
    floors = [place for place, mount in enumerate(found, 1) if mount.source == FLOOR]
    return floors[-1] if floors else len([*itertools.takewhile(_is_disk, found)])


def _is_disk(mount: Mount) -> bool:
    return mount.source != COVER and (not mount.kind.startswith("fuse") or mount.kind in DISKS)


def _from(layer: Layer, path: Path) -> list[Mount]:
    """Return the mounts at `path` that are of `layer` or above it."""
    found = _mounts_at(path)
    ground = _ground(found)
    floors = sum(mount.source == FLOOR for mount in found[:ground])
    return found[{Layer.DISK: 0, Layer.FLOOR: ground - floors, Layer.BUCKET: ground}[layer] :]


def _call(name: str, *values: object) -> int:
    """Call the C library's function `name`, and return what it does. Raises OSError where it fails."""
    import ctypes  # whoever only asks what is mounted need not wait for it

    library = ctypes.CDLL(None, use_errno=True)
    answer = int(getattr(library, name)(*values))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return answer
