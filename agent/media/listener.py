"""This module has the kernel tell what changes in the media store, so that the window need not walk the store.

It uses fanotify with names, from Linux 5.9 on. That tells of all that is done on the file system, by the name under
which it was done: what comes to a file through a hard link of another name is not told of this one. Nothing rests on it
alone: where it is not to be had, or lost something, the window walks; and after the window `migration.changes.verify`
walks all the same. https://man7.org/linux/man-pages/man7/fanotify.7.html
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ..host.fanotify import ATTRIB, CLOSE_WRITE, MODIFY, Hearing, Lost, begun, events, path_of
from ..host.mounts import mounts

#: File systems of one machine alone, of which each change is told. Others are walked.
LOCAL = ("ext4", "xfs")

# From linux/fanotify.h
_REPORT_FOLDER_AND_NAME = 0xC00
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_ON_FOLDER = 0x4000_0000
_COMES_OR_GOES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_EVENTS = MODIFY | ATTRIB | CLOSE_WRITE | _COMES_OR_GOES | _ON_FOLDER
#: Type, padding, length, file system; then the folder's handle and the name.
_INFO = struct.Struct("=BBH8x")
_FOLDER_AND_NAME = 2
#: Bytes in the handle, its type.
_HANDLE = struct.Struct("=Ii")
_LARGEST_HANDLE, _OF_THE_FOLDER_ITSELF = 128, 0x1000
#: Seconds between the tries to open a folder that is just being made.
_PAUSES = (0, 0.001, 0.01, 0.1, 0.5)


def parse(block: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield a folder's handle and the name in it for each event of a file, and of a folder that came or went.

    The third says whether a folder was moved there, with all that is in it.

    `block` is what was read from fanotify. Raises `Lost` where events were dropped, or have another form.
    """
    for mask, _, place, end in events(block):
        if mask & _COMES_OR_GOES or not mask & _ON_FOLDER:
            kind, _, size = _INFO.unpack_from(block, place)
            if kind != _FOLDER_AND_NAME or place + size > end:
                raise Lost
            handle = place + _INFO.size
            name = handle + _HANDLE.size + _HANDLE.unpack_from(block, handle)[0]
            moved_in = bool(mask & _MOVED_TO and mask & _ON_FOLDER)
            yield block[handle:name], block[name : place + size].split(b"\0", 1)[0], moved_in


class Listener(Hearing):
    """A `Listener` collects the names of what changes on the file system of a folder."""

    def __init__(self, root: Path) -> None:
        """Begin to listen. Raises one of `UNFIT` where a right, the kernel's support or a library is missing."""
        #: Names that changed, by the handle of their folder; None for a folder outside the store.
        self._names: dict[bytes, set[bytes] | None] = {}
        super().__init__(root, _REPORT_FOLDER_AND_NAME, _EVENTS)

    def take(self) -> set[str] | None:
        """Return the paths that may have changed since this was last asked, relative to the folder that is listened to.

        Each is of a file, or of a folder with all below it. Return None where changes may have been missed.
        """
        return self._ask(self._taken)

    def _taken(self) -> set[str]:
        paths = set()
        for handle, names in self._names.items():
            folder = self._inside(handle) if names else None
            if folder is not None:
                paths |= {os.path.join(folder, os.fsdecode(name)) for name in names or ()}
        if path_of(self._root) != self._top:
            raise Lost
        for names in self._names.values():
            if names:
                names.clear()
        return paths

    def _check(self) -> None:
        _check_file_system(os.fstat(self._root).st_dev, self._top)
        self._check_rights()

    def _hear(self, block: bytes) -> None:
        for handle, name, moved_in in parse(block):
            if handle not in self._names:
                self._names[handle] = set() if self._inside(handle) is not None else None
            names = self._names[handle]
            if names is not None:
                names.add(name)
                if moved_in:  # of folders in it this said, as long as they were elsewhere, that they do not count
                    self._names = {folder: known for folder, known in self._names.items() if known is not None}

    def _inside(self, handle: bytes) -> str | None:
        """Return where a folder is now, relative to the store, and None where it is elsewhere or gone.

        What was done in a folder that went is covered by the event of the folder that it was in; so is a folder that
        was moved in from elsewhere, with all below it.
        """
        number = self._open(handle)
        if number is None:
            return None
        try:
            path = path_of(number)
        finally:
            os.close(number)
        if path == self._top:
            return ""
        if path.startswith(f"{self._top}/"):
            return path[len(self._top) + 1 :]
        if path_of(self._root) != self._top:
            raise Lost  # the store is elsewhere just now
        return None

    def _open(self, handle: bytes) -> int | None:
        """Return a descriptor of the folder with that handle, and None where it is gone.

        While a new folder takes the number of one that is gone, the kernel says that it has no memory: the file system
        got no inode from iget_locked(), which passes over one that is being made. It is asked again then.
        https://github.com/torvalds/linux/blob/v6.1/fs/inode.c
        """
        for pause in (*_PAUSES, None):
            try:
                return self._call("open_by_handle_at", self._root, handle, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.ESTALE:
                    return None
                if error.errno != errno.ENOMEM:
                    raise
            if pause is not None:
                time.sleep(pause)
        raise Lost

    def _check_rights(self) -> None:
        """Raise OSError where a folder cannot be opened by its handle, which takes the right CAP_DAC_READ_SEARCH.

        https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html
        """
        handle = bytearray(_HANDLE.pack(_LARGEST_HANDLE, 0) + bytes(_LARGEST_HANDLE))
        self._call("name_to_handle_at", self._root, b"", handle, bytearray(8), _OF_THE_FOLDER_ITSELF)
        if self._inside(bytes(handle)) != "":
            raise OSError("a folder's handle leads elsewhere")


def listening(root: Path) -> AbstractContextManager[Listener | None]:
    """Give a listener that hears all that changes from here on, or None where there can be none."""
    return begun(Listener, root)


def _check_file_system(device: int, top: str) -> None:
    """Raise OSError where not every change below `top` is told: on an unfit file system, or with one mounted inside."""
    number, found = f"{os.major(device)}:{os.minor(device)}", mounts()
    for mount in found:
        if mount.place.startswith(f"{top}/"):
            raise OSError(f"{mount.place} is mounted inside")
    kinds = {mount.kind for mount in found if mount.device == number}
    if not kinds or not kinds <= set(LOCAL):
        raise OSError(f"a file system of the kind {', '.join(kinds) or 'unknown'}")
