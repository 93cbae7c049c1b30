"""Long work in a transient systemd unit: a lost connection or a killed `pulumi up` leaves it running."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from .errors import Problem
from .files import read_json, write_json
from .places import WORK_UNIT, Places
from .system import System

#: How often the follower looks for new lines, in seconds.
LOOK_SECONDS = 0.2


def running(places: Places, system: System) -> dict[str, Any] | None:
    """The request a unit is working on now, or None."""
    if not system.is_active(WORK_UNIT):
        return None
    return dict(read_json(places.request) or {"id": "", "target": "?"})


def start(places: Places, system: System, target: str) -> dict[str, Any]:
    """Start the unit; returns its request. Recovery runs after it however it ends, kill -9 included."""
    request = {"id": secrets.token_hex(8), "target": target}
    write_json(places.request, request)
    places.progress.write_bytes(b"")
    agent = f"/usr/bin/python3 {places.agent}"
    system.run(
        [
            "systemd-run", f"--unit={WORK_UNIT}", "--collect", "--quiet",
            "--property=Type=exec", "--property=Nice=5",
            f"--property=ExecStopPost={agent} recover", "--property=TimeoutStopSec=900",
            *agent.split(), "work",
        ]
    )  # fmt: skip
    return request


def follow(places: Places, system: System, request: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Pass on the unit's progress until it ends; returns its verdict."""
    with open(places.progress, encoding="utf-8", errors="replace") as progress:
        rest = ""
        while True:
            active = system.is_active(WORK_UNIT)
            rest += progress.read()
            *lines, rest = rest.split("\n")
            for line in lines:
                say(line)
            if not active:
                break
            time.sleep(LOOK_SECONDS)
    verdict = read_json(places.verdict)
    if not verdict or verdict.get("id") != request["id"]:
        raise Problem(
            "the work on the server was ended from outside before it was done; services were brought back",
            "see journalctl -u matrix-media-store-converge there, then run pulumi up again",
        )
    return dict(verdict)
