"""This module hears what the kernel's fanotify tells of a file system, in a thread of its own.

https://man7.org/linux/man-pages/man7/fanotify.7.html
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from .beneath import Folder

T = TypeVar("T")
H = TypeVar("H", bound="Hearing")

#: Seconds to catch up with what the kernel holds; then it is given up.
PATIENCE = 4.0

# From linux/fanotify.h
_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE = 0x1, 0x2, 0x10
_ADD, _FLUSH, _FILESYSTEM = 0x1, 0x80, 0x100
MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
_OVERFLOW, _VERSION = 0x4000, 3
#: From linux/fcntl.h: no folder in particular, since none is asked for.
_HERE = -100
#: Length, version, reserved, length of this, mask, file descriptor, process.
_EVENT = struct.Struct("=IBBHQii")
_BLOCK = 1 << 18


class Lost(Exception):
    """This error says that the kernel dropped events, or tells them in a form that is not known here."""


#: The errors by which a missing right, support or library shows, and too many threads.
UNFIT = (OSError, ImportError, AttributeError, RuntimeError, Lost)


def events(block: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield each event of what was read from fanotify: its mask, its file descriptor, and where its further data lies.

    Raises `Lost` where events were dropped, or have another form.
    """
    start = 0
    while start < len(block):
        length, version, _, head, mask, number, _ = _EVENT.unpack_from(block, start)
        if version != _VERSION or mask & _OVERFLOW or length < _EVENT.size:
            raise Lost
        yield mask, number, start + head, start + length
        start += length


class Hearing(ABC):
    """A `Hearing` collects what is told of the file system of a folder all the time, so that the kernel keeps little.

    It tells of what was done in every mount namespace.
    """

    def __init__(self, root: Path, form: int, about: int, stays_open: bool = True) -> None:
        """Begin to listen; `form` are further flags of fanotify_init(2), `about` those of fanotify_mark(2).

        Without `stays_open` the folder is closed at once: a mount ends only when nobody has anything of it open. Raises
        one of `UNFIT` where a right, the kernel's support or a library is missing.
        """
        self._lock, self._lost = threading.Lock(), False
        with contextlib.ExitStack() as opened:
            self._call = _kernel()
            folder = opened.enter_context(contextlib.ExitStack())
            self._root = folder.enter_context(Folder.at(root)).number
            self._top = path_of(self._root)
            self._check()
            flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | form
            self._queue = self._call("fanotify_init", flags, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            opened.callback(os.close, self._queue)
            self._call("fanotify_mark", self._queue, _ADD | _FILESYSTEM, about, self._root, b".")
            if not stays_open:
                folder.close()
            asleep, waker = os.pipe()
            opened.callback(os.close, asleep)
            self._thread = threading.Thread(target=self._collect, args=(asleep,), daemon=True)
            self._thread.start()
            opened.callback(self._thread.join, PATIENCE)
            opened.callback(os.close, waker)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Stop listening, and wait until the thread has ended, unless a file system that hangs keeps it."""
        self._opened.close()

    @abstractmethod
    def _check(self) -> None:
        """Raise one of `UNFIT` where what is done in the folder would not be told, or not be understood."""

    @abstractmethod
    def _hear(self, block: bytes) -> None:
        """Remember what these events say. Raises `Lost` where they are not understood."""

    def _ask(self, answer: Callable[[], T]) -> T | None:
        """Return what `answer` does once all was read that the kernel holds by now.

        Return None where something may be missing. What comes meanwhile is left for later: on a file system on which
        others write all the time, it never ends.
        """
        if not self._lock.acquire(timeout=PATIENCE):
            self._lost = True  # the thread waits for a file system that hangs
            return None
        found = None
        try:
            with self._losing():
                deadline, waiting = time.monotonic() + PATIENCE, self._waiting()
                while waiting > 0 and (read := self._read()):
                    waiting -= read
                    if time.monotonic() > deadline:
                        raise Lost
                found = answer()
        finally:
            self._lock.release()
        return None if self._lost else found

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
                self._call("fanotify_mark", self._queue, _FLUSH | _FILESYSTEM, 0, _HERE, b".")

    def _waiting(self) -> int:
        """Return how many events the kernel holds; it counts each as if it had nothing but its head."""
        import fcntl
        import termios

        answer = fcntl.ioctl(self._queue, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder) // _EVENT.size

    def _read(self) -> int:
        """Read some of what the kernel holds, and return how many events that were."""
        try:
            block = os.read(self._queue, _BLOCK)
        except BlockingIOError:
            return 0
        self._hear(block)
        return sum(1 for _ in events(block))


@contextlib.contextmanager
def begun(begin: Callable[[Path], H], root: Path) -> Iterator[H | None]:
    """Give what listens at a folder from here on, as `begin` makes it, or None where nothing can."""
    try:
        hearing = begin(root)
    except UNFIT:
        yield None
        return
    with contextlib.closing(hearing):
        yield hearing


def path_of(number: int) -> str:
    """Return the path of an open file as this process sees it."""
    return os.readlink(f"/proc/self/fd/{number}")


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
