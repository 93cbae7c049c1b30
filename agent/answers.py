"""Whether a mount answers. Asked in a window, by the unit that just mounted: it imports little."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import handover, places
from .context import Context
from .errors import Problem
from .places import RESERVED_PREFIX, STAGING_UNIT

#: How long a mount may take to answer, with retries of the store behind it.
ANSWER_SECONDS = 60
#: The word for a path where no mount is.
NOT_MOUNTED = "nothing is mounted there"
#: What the kernel says of a mount whose program is gone.
DEAD = os.strerror(errno.ENOTCONN)


def answers(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """The verb of that name."""
    process = os.environ.get("MAINPID")  # systemd's, where this is a unit's ExecStartPost
    ended = (lambda: not Path(f"/proc/{process}").exists()) if process else (lambda: False)
    check_answers(Context.load(places.HERE), arguments.where, ended)
    return {"answers": str(arguments.where)}


def _look(path: Path) -> None:
    """Raises the OSError that a dead or forbidden mount gives; that there is no such file is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)


def trouble(context: Context, where: Path, timeout: float = 20) -> str:
    """Why the bucket does not serve at `where` to the media store's owner; empty where it does.

    Asks for a name never asked for before, so that goofys must ask the store. rclone asks it once, when
    it looks into a folder for the first time.
    """
    if not context.system.mounted(where):
        return NOT_MOUNTED
    name = f"{RESERVED_PREFIX}is-it-there-{os.urandom(8).hex()}"
    uid, gid = context.owner
    try:
        context.system.as_user(uid, gid, lambda: _look(where / name), timeout)
    except OSError as error:  # TimeoutError too
        return str(error)
    return ""


def check_answers(context: Context, where: Path, ended: Callable[[], bool] = lambda: False) -> None:
    """Return once the mount at `where` answers; `Problem` if it does not in time, or has `ended`."""
    reason = NOT_MOUNTED

    def fine() -> bool:
        nonlocal reason
        reason = trouble(context, where)
        if reason and ended():
            raise Problem(f"the mount ended: {reason}", "see the lines before this one, or the journal of its unit")
        return not reason

    if not context.system.wait_until(fine, ANSWER_SECONDS, every=0.05):
        raise Problem(
            f"the bucket mounted at {where} does not answer: {reason}",
            f"see journalctl -u {handover.serving_unit(context)} -u {STAGING_UNIT} on the server",
        )
