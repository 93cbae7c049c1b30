"""This module has the kernel tell what changes in the media store, so that the window need not walk the store.

It uses fanotify with names, from Linux 5.9 on. That tells of all that is done on the file system, by the name under
which it was done: what comes to a file through a hard link of another name is not told of this one. Nothing rests on it
alone: where it is not to be had, or lost something, the window walks; and after the window `migration.changes.verify`
walks all the same. https://man7.org/linux/man-pages/man7/fanotify.7.html
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..host.beneath import Folder
from ..host.mounts import mounts

#: File systems of one machine alone, of which each change is told. Others are walked.
LOCAL = ("ext4", "xfs")
#: Seconds to catch up with a disk on which others write all the time; then a walk is better.
PATIENCE = 4.0

# From linux/fanotify.h
_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _REPORT_FOLDER_AND_NAME = 0x1, 0x2, 0x10, 0xC00
_ADD, _FLUSH, _FILESYSTEM = 0x1, 0x80, 0x100
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
_LARGEST_HANDLE, _OF_THE_FOLDER_ITSELF = 128, 0x1000
_BLOCK = 1 << 18


class Lost(Exception):
    """This error says that the kernel dropped events, or tells them in a form that is not known here."""


def parse(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a folder's handle and the name in it for each event of a file, and of a folder that came or went.

    `block` is what was read from fanotify. Raises `Lost` where events were dropped, or have another form.
    """
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
    """A `Listener` collects the names of what changes on the file system of a folder.

    A thread of its own does so all the time, so that the kernel keeps little.
    """

    def __init__(self, root: Path) -> None:
        """Begin to listen. Raises one of `UNFIT` where a right, the kernel's support or a library is missing."""
        self._lock, self._lost = threading.Lock(), False
        #: Names that changed, by the handle of their folder; None for a folder outside the store.
        self._names: dict[bytes, set[bytes] | None] = {}
        with contextlib.ExitStack() as opened:
            self._call = _kernel()
            self._root = opened.enter_context(Folder.at(root)).number
            self._top = _path(self._root)
            _check_file_system(os.fstat(self._root).st_dev, self._top)
            self._check_rights()
            flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _REPORT_FOLDER_AND_NAME
            self._queue = self._call("fanotify_init", flags, os.O_RDONLY)
            opened.callback(os.close, self._queue)
            self._call("fanotify_mark", self._queue, _ADD | _FILESYSTEM, _EVENTS, self._root, b".")
            asleep, waker = os.pipe()
            opened.callback(os.close, asleep)
            self._thread = threading.Thread(target=self._collect, args=(asleep,), daemon=True)
            self._thread.start()
            opened.callback(self._thread.join)
            opened.callback(os.close, waker)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Stop listening, and wait until the thread has ended."""
        self._opened.close()

    def changed(self) -> set[str] | None:
        """Return the paths, each of a file, or of a folder with all below it, that may have changed by now.

        They are relative to the folder that is listened to. Return None where changes may have been missed.
        """
        paths = set()
        with self._lock, self._losing():
            deadline = time.monotonic() + PATIENCE
            while self._read():
                if time.monotonic() > deadline:
                    raise Lost
            for handle, names in self._names.items():
                folder = self._inside(handle) if names else None
                if folder is not None:
                    paths |= {os.path.join(folder, os.fsdecode(name)) for name in names or ()}
            if _path(self._root) != self._top:
                raise Lost
        return None if self._lost else paths

    def _collect(self, asleep: int) -> None:
        poll = select.poll()
        poll.register(self._queue, select.POLLIN)
        poll.register(asleep)
        while not self._lost and all(number != asleep for number, _ in poll.poll()):
            with self._lock, self._losing():
                self._read()

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Where the body fails, mark all that was heard as worthless, and tell the kernel to send no more."""
        try:
            yield
        except Exception:
            self._lost = True
            with contextlib.suppress(OSError):
                self._call("fanotify_mark", self._queue, _FLUSH | _FILESYSTEM, 0, self._root, b".")

    def _read(self) -> bool:
        """Read some of what the kernel holds, and return whether there was any."""
        try:
            block = os.read(self._queue, _BLOCK)
        except BlockingIOError:
            return False
        for handle, name in parse(block):
            if handle not in self._names:
                self._names[handle] = set() if self._inside(handle) is not None else None
            names = self._names[handle]
            if names is not None:
                names.add(name)
        return True

    def _inside(self, handle: bytes) -> str | None:
        """Return where a folder is now, relative to the store, and None where it is elsewhere or gone.

        What was done in a folder that went is covered by the event of the folder that it was in; so is a folder that
        was moved in from elsewhere, with all below it.
        """
        try:
            number = self._call("open_by_handle_at", self._root, handle, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ESTALE:
                return None
            raise
        try:
            path = _path(number)
        finally:
            os.close(number)
        if path == self._top:
            return ""
        if path.startswith(f"{self._top}/"):
            return path[len(self._top) + 1 :]
        if _path(self._root) != self._top:
            raise Lost  # the store is elsewhere just now
        return None

    def _check_rights(self) -> None:
        """Raise OSError where a folder cannot be opened by its handle, which takes the right CAP_DAC_READ_SEARCH.

        https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html
        """
        handle = bytearray(_HANDLE.pack(_LARGEST_HANDLE, 0) + bytes(_LARGEST_HANDLE))
        self._call("name_to_handle_at", self._root, b"", handle, bytearray(8), _OF_THE_FOLDER_ITSELF)
        if self._inside(bytes(handle)) != "":
            raise OSError("a folder's handle leads elsewhere")


#: The errors by which a missing right, support or library shows, and too many threads.
UNFIT = (OSError, ImportError, AttributeError, RuntimeError, Lost)


@contextlib.contextmanager
def listening(root: Path) -> Iterator[Listener | None]:
    """Give a listener that hears all that changes from here on, or None where there can be none."""
    try:
        listener = Listener(root)
    except UNFIT:
        yield None
        return
    with contextlib.closing(listener):
        yield listener


def _kernel() -> Callable[..., int]:
    """Return a function that makes the system calls which Python itself does not have."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.fanotify_mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)

    def call(name: str, *values: Any) -> int:
        """Call the C library's function `name`; a bytearray among the values is written to.

        Raises OSError where it fails.
        """
        buffers = [
            (ctypes.c_char * len(each)).from_buffer(each) if type(each) is bytearray else each for each in values
        ]
        answer = int(getattr(library, name)(*buffers))
        if answer < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return answer

    return call


def _path(number: int) -> str:
    return os.readlink(f"/proc/self/fd/{number}")


def _check_file_system(device: int, top: str) -> None:
    """Raise OSError where not every change below `top` is told: on an unfit file system, or with one mounted inside."""
    number, found = f"{os.major(device)}:{os.minor(device)}", mounts()
    for mount in found:
        if mount.place.startswith(f"{top}/"):
            raise OSError(f"{mount.place} is mounted inside")
    kinds = {mount.kind for mount in found if mount.device == number}
    if not kinds or not kinds <= set(LOCAL):
        raise OSError(f"a file system of the kind {', '.join(kinds) or 'unknown'}")
