"""Long work in a transient systemd unit: a lost connection or a killed `pulumi up` leaves it running."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from .errors import Problem
from .files import read_json, write_json
from .places import WORK_UNIT, Places
from .system import RUNNING, System

#: How often the follower looks for new lines, in seconds.
LOOK_SECONDS = 0.2


def running(places: Places, system: System) -> dict[str, Any] | None:
    """The request a unit is working on now, or None. A unit that still cleans up counts as running."""
    state = system.systemctl("show", "--property=ActiveState", "--value", WORK_UNIT).strip()
    if state not in RUNNING:
        return None
    return dict(read_json(places.request) or {"id": "", "target": "?", "after": ""})


@contextmanager
def starting(places: Places) -> Iterator[None]:
    """Between looking whether a unit runs and starting one, nobody else does either."""
    places.var.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(places.var / "starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def start(places: Places, system: System, target: str, after: str = "any") -> dict[str, Any]:
    """Start the unit; returns its request. Recovery runs after it however it ends, kill -9 included."""
    request = {"id": secrets.token_hex(8), "target": target, "after": after}
    write_json(places.request, request)
    places.progress.write_bytes(b"")
    agent = f"/usr/bin/python3 {places.agent}"
    system.run(
        [
            "systemd-run", f"--unit={WORK_UNIT}", "--collect", "--quiet",
            "--property=Type=exec", "--property=Nice=5", "--property=IOSchedulingPriority=7",
            f"--property=ExecStopPost={agent} recover", "--property=TimeoutStopSec=900",
            *agent.split(), "work", "--id", request["id"], "--target", target, "--after", after,
        ]
    )  # fmt: skip
    return request


def follow(places: Places, system: System, request: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Pass on the unit's progress until it and its clean-up end; returns its verdict."""
    with open(places.progress, encoding="utf-8", errors="replace") as progress:
        rest = ""
        while True:
            active = running(places, system)
            rest += progress.read()
            *lines, rest = rest.split("\n")
            for line in lines:
                say(line)
            if not active or active["id"] != request["id"]:
                break
            time.sleep(LOOK_SECONDS)
    verdict = read_json(places.verdict)
    if not verdict or verdict.get("id") != request["id"]:
        raise Problem(
            "the work on the server was ended from outside before it was done; services were brought back",
            "see journalctl -u matrix-media-store-converge there, then run pulumi up again",
        )
    return dict(verdict)
