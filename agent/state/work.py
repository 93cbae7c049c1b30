"""This module does long work in a transient systemd unit: a lost connection or a killed `pulumi up` leaves it running.

https://www.freedesktop.org/software/systemd/man/latest/systemd-run.html
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..host.files import read_json, write_dearly, write_json
from ..host.systemd import RUNNING
from ..model.errors import CommandFailed, Problem
from ..model.layout import WORK_UNIT, Layout
from ..model.phases import ANY

if TYPE_CHECKING:
    from ..model.ports import Say, System
    from ..model.protocol import Event, Request

#: How often the follower looks for new lines, in seconds.
LOOK_SECONDS = 0.2
#: Seconds that systemd may take to forget a transient unit that ended; until then it starts none of the same name.
FORGET_SECONDS = 30
#: Bytes at the end of the file of progress in which its last line is looked for.
TAIL_BYTES = 1 << 16


class EndedFromOutside(Problem):
    """This `Problem` says that a run left no verdict: it was killed, or the power failed."""


def running(layout: Layout, system: System) -> Request | None:
    """Return the request that the unit is working on now, or None. A unit that still cleans up counts as running."""
    state = system.systemctl("show", "--property=ActiveState", "--value", WORK_UNIT).strip()
    if state not in RUNNING:
        return None
    found = read_json(layout.request) or {}
    return {"id": found.get("id", ""), "target": found.get("target", "?"), "after": found.get("after", "")}


@contextmanager
def starting(layout: Layout) -> Iterator[None]:
    """Hold a lock in the body, so that nobody else starts a unit between looking whether one runs and starting one."""
    layout.var.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(layout.var / "starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def start(layout: Layout, system: System, target: str, after: str = ANY) -> Request:
    """Start the unit, and return its request. Recovery runs after it however it ends, kill -9 included.

    Raises `Problem` where systemd does not start it.
    """
    request: Request = {"id": secrets.token_hex(8), "target": str(target), "after": after}
    write_json(layout.request, request)
    layout.progress.write_bytes(b"")
    agent = f"/usr/bin/python3 {layout.agent}"
    system.wait_until(lambda: not _remembered(system), FORGET_SECONDS)
    argv = [
        "systemd-run", f"--unit={WORK_UNIT}", "--collect", "--quiet",
        "--property=Type=exec", "--property=Nice=5", "--property=IOSchedulingPriority=7",
        f"--property=ExecStopPost={agent} recover", "--property=TimeoutStopSec=900",
        *agent.split(), "work", "--id", request["id"], "--target", str(target), "--after", after,
    ]  # fmt: skip
    try:
        system.run(argv)
    except CommandFailed as error:
        held = system.systemctl("show", "--property=ActiveState,SubState,Result,Job", WORK_UNIT, check=False)
        raise Problem(
            f"the work cannot begin, an earlier run may be ending ({WORK_UNIT}: {' '.join(held.split())}): {error}",
            "wait a minute, and run pulumi up again; nothing was changed",
        ) from None
    return request


def _remembered(system: System) -> bool:
    """Whether systemd still has the unit of an earlier run."""
    return system.systemctl("show", "--property=LoadState", "--value", WORK_UNIT).strip() == "loaded"


def tell(layout: Layout, event: Event) -> None:
    """Add a line to the file of progress. Where it cannot be written, nothing is raised: the work must go on."""
    with suppress(OSError), open(layout.progress, "a", encoding="utf-8") as progress:
        progress.write(json.dumps(event) + "\n")


def last_told(layout: Layout) -> str:
    """Return the last line of progress for people of the newest run; it is empty where there is none."""
    with suppress(OSError), open(layout.progress, "rb") as progress:
        size = progress.seek(0, os.SEEK_END)
        progress.seek(max(0, size - TAIL_BYTES))
        lines = progress.read().decode("utf-8", "replace").splitlines()
        return next(filter(None, map(_text, reversed(lines))), "")
    return ""


def end(layout: Layout, verdict: dict[str, Any]) -> None:
    """Write the verdict for whoever follows, on a full disk too. Raises OSError where it cannot be written."""
    write_dearly(layout.verdict, verdict, layout.reserve)


def follow(layout: Layout, system: System, request: Request, say: Say) -> dict[str, Any]:
    """Pass on the unit's progress until it and its clean-up end, and return its verdict.

    Raises `EndedFromOutside` where it ended without one.
    """
    with open(layout.progress, encoding="utf-8", errors="replace") as progress:
        rest = ""
        while True:
            active = running(layout, system)
            rest += progress.read()
            *lines, rest = rest.split("\n")
            for text in filter(None, map(_text, lines)):
                say(text)
            if not active or active["id"] != request["id"]:
                break
            time.sleep(LOOK_SECONDS)
    verdict = read_json(layout.verdict)
    if not verdict or verdict.get("id") != request["id"]:
        raise EndedFromOutside(
            "the work on the server was ended from outside before it was done; services were brought back",
            "see journalctl -u matrix-media-store-converge -u matrix-media-store-thaw there, then run pulumi up again",
        )
    return dict(verdict)


def _text(line: str) -> str:
    """What a line of progress says to people; an agent of an earlier version wrote nothing else."""
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return str(event.get("text", ""))
    return line
