"""What changes in the media store, told by the kernel as it happens: then the window need not walk the store.

This is fanotify(7) with names, from Linux 5.9 on. It tells of all that is done through the file system it listens
to, but not of what comes through a hard link that lies outside the store. Nothing rests on it alone: where it is not
to be had, or lost something, the window walks; and after the window `delta.verify` walks all the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: File systems of one machine alone, of which each change is told. Others are walked.
LOCAL = ("ext4", "xfs")

# From linux/fanotify.h
_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _REPORT_FOLDER_AND_NAME = 0x1, 0x2, 0x10, 0xC00
_ADD, _FILESYSTEM = 0x1, 0x100
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _ON_FOLDER = 0x4000, 0x4000_0000
_COMES_OR_GOES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_EVENTS = _MODIFY | _ATTRIB | _CLOSE_WRITE | _COMES_OR_GOES | _ON_FOLDER
_VERSION = 3
#: Length, version, reserved, length of this, mask, file descriptor, process.
_EVENT = struct.Struct("=IBBHQii")
#: Type, padding, length, file system; then the folder's handle and the name.
_INFO = struct.Struct("=BBH8x")
_FOLDER_AND_NAME = 2
#: Bytes in the handle, its type.
_HANDLE = struct.Struct("=Ii")
_BLOCK = 1 << 18


class Lost(Exception):
    """The kernel dropped events, or speaks otherwise."""


def parse(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The handle of a folder and the name in it, for each event of a file, and of a folder that came or went."""
    start = 0
    while start < len(block):
        length, version, _, head, mask, _, _ = _EVENT.unpack_from(block, start)
        if version != _VERSION or mask & _OVERFLOW or length < _EVENT.size:
            raise Lost
        place, end = start + head, start + length
        if mask & _COMES_OR_GOES or not mask & _ON_FOLDER:
            kind, _, size = _INFO.unpack_from(block, place)
            if kind != _FOLDER_AND_NAME:
                raise Lost
            handle = place + _INFO.size
            name = handle + _HANDLE.size + _HANDLE.unpack_from(block, handle)[0]
            yield block[handle:name], block[name : place + size].split(b"\0", 1)[0]
        start = end


class Listener:
    """Collects the names of what changes on a folder's file system. A thread does, so that the kernel keeps little."""

    def __init__(self, root: Path) -> None:
        """Of OSError, ImportError or AttributeError, whatever the lack of rights, support or a library comes as."""
        self._lock, self._lost = threading.Lock(), False
        #: By folder; None for one outside the store.
        self._names: dict[bytes, set[bytes] | None] = {}
        with contextlib.ExitStack() as opened:
            self._call = _kernel()
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, self._root)
            if _file_system(os.fstat(self._root).st_dev) not in LOCAL:
                raise OSError(f"the file system of {root} may not tell of each change")
            self._top = _path(self._root)
            flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _REPORT_FOLDER_AND_NAME
            self._queue = self._call("fanotify_init", flags, os.O_RDONLY)
            opened.callback(os.close, self._queue)
            self._call("fanotify_mark", self._queue, _ADD | _FILESYSTEM, _EVENTS, self._root, b".")
            asleep, waker = os.pipe()
            opened.callback(os.close, asleep)
            thread = threading.Thread(target=self._collect, args=(asleep,), daemon=True)
            thread.start()
            opened.callback(thread.join)
            opened.callback(os.close, waker)
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def changed(self) -> set[str] | None:
        """Paths below the folder, each of a file, or of a folder with all below it, that may have changed by now.

        None where it cannot be said.
        """
        with self._lock:
            self._read()
            self._lost = self._lost or _path(self._root) != self._top
            paths = set()
            for handle, names in self._names.items():
                folder = self._inside(handle) if names else None
                if folder is not None:
                    paths |= {os.path.join(folder, os.fsdecode(name)) for name in names or ()}
            return None if self._lost else paths

    def _collect(self, asleep: int) -> None:
        poll = select.poll()
        poll.register(self._queue, select.POLLIN)
        poll.register(asleep)
        while all(number != asleep for number, _ in poll.poll()):
            with self._lock:
                self._read()
                if self._lost:
                    return

    def _read(self) -> None:
        """All that the kernel holds; whatever is not understood makes the rest worthless."""
        try:
            while not self._lost:
                for handle, name in parse(os.read(self._queue, _BLOCK)):
                    if handle not in self._names:
                        self._names[handle] = set() if self._inside(handle) is not None else None
                    names = self._names[handle]
                    if names is not None:
                        names.add(name)
        except BlockingIOError:
            pass
        except (Lost, OSError, struct.error):
            self._lost = True

    def _inside(self, handle: bytes) -> str | None:
        """Where a folder is now, relative to the store.

        None where it is elsewhere, or gone: then the event of the folder that it was in tells so. One that is moved
        in from elsewhere is told of in the same way, with all below it.
        """
        try:
            number = self._call("open_by_handle_at", self._root, handle, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ESTALE:
                self._lost = True
            return None
        try:
            path = _path(number)
        finally:
            os.close(number)
        if path == self._top:
            return ""
        return path[len(self._top) + 1 :] if path.startswith(f"{self._top}/") else None


@contextlib.contextmanager
def listening(root: Path) -> Iterator[Listener | None]:
    """A listener from here on; None where there can be none."""
    try:
        listener = Listener(root)
    except (OSError, ImportError, AttributeError):
        yield None
        return
    with contextlib.closing(listener):
        yield listener


def _kernel() -> Callable[..., int]:
    """System calls that Python has no words for."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.fanotify_mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)

    def call(name: str, *values: Any) -> int:
        answer = int(getattr(library, name)(*values))
        if answer < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return answer

    return call


def _path(number: int) -> str:
    return os.readlink(f"/proc/self/fd/{number}")


def _file_system(device: int) -> str:
    """Its kind, by the number of its device; nothing where that is not known."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            mount, _, source = line.partition(" - ")
            if mount.split()[2] == number:
                return source.split()[0]
    return ""
