"""This module says what is mounted where, as the kernel lists it in /proc/self/mountinfo.

https://man7.org/linux/man-pages/man5/proc.5.html
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..model.errors import Problem
from .beneath import beside
from .processes import Processes

if TYPE_CHECKING:
    from ..model.ports import OpenFolder

#: More mounts over each other than a path ever has.
MOST_LAYERS = 20
#: The source of a mount that is there so that nobody can write; see `serving.playbook`.
COVER = "matrix-media-store-cover"


# From linux/mount.h
_NOSUID, _NODEV, _NOEXEC, _BIND = 0x2, 0x4, 0x8, 0x1000
_DETACH, _NOFOLLOW = 0x2, 0x8


class Mount(NamedTuple):
    """A `Mount` is a mounted file system: `place` is where, and `kind` is its type.

    `device` is major:minor, `source` is a device or a name that the program chose. `root` is the folder of the file
    system that is seen at `place`.
    """

    device: str
    root: str
    place: str
    kind: str
    source: str


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
    fields, (kind, source) = left.split(" "), right.split(" ")[:2]
    return Mount(fields[2], _unescape(fields[3]), _unescape(fields[4]), kind, source)


def _unescape(field: str) -> str:
    """Return a field as text: the kernel writes blanks and backslashes in it as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


class Mounts(Processes):
    """This class says what is mounted on this server, and unmounts it."""

    def mounted(self, path: Path) -> bool:
        """Return whether something is mounted exactly at `path`; a dead FUSE mount counts, a cover does not."""
        layers = self.layers(path)
        return bool(layers) and layers[-1] != COVER

    def layers(self, path: Path) -> list[str]:
        """Return the sources of all mounts exactly at `path`, the topmost as the last."""
        return [mount.source for mount in _mounts_at(path)]

    def kind(self, path: Path) -> str:
        """Return the type of the file system that is mounted exactly at `path`; it is empty where none is."""
        found = _mounts_at(path)
        return found[-1].kind if found else ""

    def attach(self, source: Path, point: OpenFolder) -> None:
        """Let what is mounted at `source` be seen at the open folder `point` too. Raises OSError.

        mount(8) would look for the folder by its path, which somebody may have laid a link into by now.
        https://man7.org/linux/man-pages/man2/mount.2.html
        """
        _call("mount", os.fsencode(source), point.magic_link.encode(), None, _BIND, None)

    def cover(self, point: OpenFolder, options: str) -> None:
        """Mount an empty file system over the open folder `point`, with these options of tmpfs. Raises OSError."""
        flags = _NOSUID | _NODEV | _NOEXEC
        _call("mount", COVER.encode(), point.magic_link.encode(), b"tmpfs", flags, options.encode())

    def unmount(self, path: Path) -> None:
        """Take every mount off `path`, lazily, since containers may still hold copies of it.

        Raises `Problem` where one stays; that another process took one off first is no error.
        """
        for _ in range(MOST_LAYERS):
            if not self.layers(path):
                return
            # Never through a link in its place. EINVAL: another process was faster.
            with contextlib.suppress(OSError), beside(path) as (parent, name):
                _call("umount2", f"{parent.magic_link}/{name}".encode(), _DETACH | _NOFOLLOW)
        if self.layers(path):
            raise Problem(f"{path} stays mounted", f"see findmnt {path} on the server, and unmount it by hand")


def _mounts_at(path: Path) -> list[Mount]:
    # The kernel names places by their real folders; the mount point itself is not followed, it may hang.
    wanted = os.path.join(os.path.realpath(path.parent), path.name)
    return [mount for mount in mounts() if mount.place == wanted]


def _call(name: str, *values: object) -> None:
    """Call the C library's function `name`. Raises OSError where it fails."""
    import ctypes  # whoever only asks what is mounted need not wait for it

    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*values):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
