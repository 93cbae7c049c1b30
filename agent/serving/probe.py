"""This module says whether a mount answers.

It is asked in a window, by the unit that just mounted: it imports little.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import Problem
from ..model.layout import OWNER_KEY, RESERVED_PREFIX, STAGING_UNIT
from ..state.records import Owner

if TYPE_CHECKING:
    from ..model.ports import System

#: How long a mount may take to answer, with retries of the store behind it.
ANSWER_SECONDS = 60
#: The word for a path where no mount is.
NOT_MOUNTED = "nothing is mounted there"
#: What the kernel says of a mount whose program is gone.
DEAD = os.strerror(errno.ENOTCONN)


def _look(path: Path) -> None:
    """Raise the OSError that a dead or forbidden mount gives at `path`; that there is no such file is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)


def why_not_serving(system: System, owner: Owner, where: Path, timeout: float = 20) -> str:
    """Return why the bucket does not serve at `where` to the media store's owner; the text is empty where it does.

    It asks for a name never asked for before, so that goofys must ask the store. rclone asks it once, when it looks
    into a folder for the first time. `timeout` is in seconds.
    """
    name = f"{RESERVED_PREFIX}is-it-there-{os.urandom(8).hex()}"
    return _why_not(system, owner, where, lambda: _look(where / name), timeout)


def why_dead(system: System, owner: Owner, where: Path, timeout: float) -> str:
    """Return why no program serves the mount at `where`; the text is empty where one does. The store is not asked.

    The program itself tells the size of its file system, goofys and rclone without a request.
    """
    return _why_not(system, owner, where, lambda: _ask_size(where), timeout)


def why_not_read(system: System, owner: Owner, where: Path, timeout: float) -> str:
    """Return why the mark of ownership cannot be read through the mount; the text is empty where it can.

    It costs one request: the kernel first forgets what it knows of the content, but not the name, which would cost
    goofys three.
    """
    return _why_not(system, owner, where, lambda: _read_anew(where / OWNER_KEY), timeout)


def _why_not(system: System, owner: Owner, where: Path, action: Callable[[], None], timeout: float) -> str:
    if not system.mounted(where):
        return NOT_MOUNTED
    try:
        system.as_user(owner.uid, owner.gid, action, timeout)
    except OSError as error:  # TimeoutError too
        return str(error)
    return ""


def _ask_size(where: Path) -> None:
    os.statvfs(where)


def _read_anew(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.read(file.fileno(), 1)


def check_answers(
    system: System, owner: Owner, where: Path, unit: str, ended: Callable[[], bool] = lambda: False
) -> None:
    """Return once the mount of `unit` at `where` answers.

    Raises `Problem` where it does not within ANSWER_SECONDS, or has `ended`.
    """
    reason = NOT_MOUNTED

    def fine() -> bool:
        nonlocal reason
        reason = why_not_serving(system, owner, where)
        if reason and ended():
            raise Problem(f"the mount ended: {reason}", "see the lines before this one, or the journal of its unit")
        return not reason

    if not system.wait_until(fine, ANSWER_SECONDS, every=0.05):
        raise Problem(
            f"the bucket mounted at {where} does not answer: {reason}",
            f"see journalctl {' '.join(f'-u {each}' for each in sorted({unit, STAGING_UNIT}))} on the server",
        )
