"""This module has the kernel tell which files were written to through a mount, so that no bucket need be listed.

fanotify gives each file that was closed after writing as an open file, in whatever namespace that was: other forms it
has not for FUSE before Linux 6.8. It does not tell of folders, nor of what was removed or renamed. Nothing rests on it
alone: the whole bucket is listed afterwards, see `migration.settle`.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path

from ..host.fanotify import CLOSE_WRITE, Hearing, Lost, begun, events, path_of
from ..host.mounts import topmost
from ..host.open_files import DELETED

#: How it shows that a file is gone again.
_GONE = (errno.ENOENT, errno.ESTALE)


class WrittenFiles(Hearing):
    """A `WrittenFiles` collects the paths of files that were closed after writing."""

    def __init__(self, mount: Path) -> None:
        """Begin to listen. Raises one of `UNFIT` where a right, the kernel's support or a library is missing."""
        self._paths: set[str] = set()
        super().__init__(mount, 0, CLOSE_WRITE, stays_open=False)

    def take(self) -> set[str] | None:
        """Return the paths of the files that were written to since this was last asked, as their writers saw them.

        Of a file whose writer's mount namespace is gone, it is the path below the mount. Return None where some may
        have been missed.
        """
        return self._ask(self._taken)

    def _taken(self) -> set[str]:
        if _device_at(self._top) != self._device:
            raise Lost  # another program mounted there since, which nobody listened to
        taken, self._paths = self._paths, set()
        return taken

    def _check(self) -> None:
        device = os.fstat(self._root).st_dev
        self._device = f"{os.major(device)}:{os.minor(device)}"
        if _device_at(self._top) != self._device:
            raise OSError(errno.ENODEV, "no bucket is mounted there", self._top)

    def _read(self) -> int:
        try:
            return super()._read()
        except OSError as error:
            if error.errno in _GONE:
                return 1  # the event is gone with it
            raise

    def _hear(self, block: bytes) -> None:
        for _, number, _, _ in events(block):
            if number < 0:
                raise Lost
            try:
                path = path_of(number)
            finally:
                os.close(number)
            self._paths |= {path, path[: -len(DELETED)] if path.endswith(DELETED) else path}


def _device_at(path: str) -> str:
    """Return which bucket's mount is the topmost at a path; the text is empty where none is."""
    found = topmost(Path(path))
    return found.device if found and found.kind.startswith("fuse") else ""


def hearing(mount: Path) -> AbstractContextManager[WrittenFiles | None]:
    """Give what hears of each file written to through a mount from here on, or None where nothing can."""
    return begun(WrittenFiles, mount)
