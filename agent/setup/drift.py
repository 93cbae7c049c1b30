"""This module finds what is not on the server as the last `up` laid it: removed, edited, stopped or disabled."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..host.fetch import what_differs
from ..model.layout import METRICS_TIMER, RECOVER_UNIT, STAGING_UNIT
from ..serving import metrics, mount
from ..serving.units import planned_files
from ..state.journal import Journal
from ..state.run import Server
from . import status_keys


def differences(server: Server, journal: Journal, agent: bytes) -> list[str]:
    """Return a line for each thing that differs; this changes nothing, and is empty where nothing was laid yet.

    :param server: with the settings that lie on the server, not newer ones.
    :param agent: the zipapp that asks. Where it is not the one that laid the files, they rightly differ from what it
        would write, and only what is missing or has another mode counts.
    """
    installed = journal.installed
    if not installed.agent_sha256:
        return []
    found = [*_agent(server, installed.agent_sha256), *status_keys.differences(server, journal)]
    if installed.repairs is None:
        return found
    same_agent = hashlib.sha256(agent).hexdigest() == installed.agent_sha256
    staging = server.layout.units / STAGING_UNIT
    for path, (data, mode) in planned_files(server, journal).items():
        if path == staging and server.layout.moving.exists():
            continue  # it mounts the store that a move goes to
        if not path.exists():
            found.append(f"{path} is missing")
        elif same_agent and path.read_bytes() != data:
            found.append(f"{path} was changed, or is of an earlier version")
        elif path.stat().st_mode & 0o777 != mode:
            found.append(f"{path} has mode {path.stat().st_mode & 0o777:04o}, not {mode:04o}")
    found += _programs(server) if same_agent else []
    return found + _units(server, journal)


def _agent(server: Server, laid: str) -> list[str]:
    path = server.layout.agent
    if not path.exists():
        return [f"{path} is missing"]
    return [] if _sha256(path) == laid else [f"{path} was changed"]


def _programs(server: Server) -> list[str]:
    differ = {path: what_differs(program, path) for path, program in server.programs.items()}
    return [f"{path} {how}" for path, how in differ.items() if how]


def _units(server: Server, journal: Journal) -> list[str]:
    found = []
    units = mount.units_to_run(server, journal.serving)
    timers = [METRICS_TIMER] if metrics.wanted(server) else []
    for unit in (RECOVER_UNIT, *timers, *units):
        state = server.system.systemctl("is-enabled", unit, check=False).strip()
        if state != "enabled" and (server.layout.units / unit).exists():
            found.append(f"{unit} is {state or 'not enabled'}, so it would not start at boot")
    for unit in (*timers, *units):
        if not server.system.is_active(unit):
            found.append(f"{unit} does not run")
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
