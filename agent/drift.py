"""What is not on the server as the last `up` laid it: removed or edited by hand, stopped, disabled."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from . import mount, status_keys
from .context import Context
from .places import RECOVER_UNIT


def differences(context: Context, agent: bytes) -> list[str]:
    """A line for each thing that differs; read only, and empty where nothing was laid yet.

    :param context: with the settings that lie on the server, not newer ones.
    :param agent: the zipapp that asks. Where it is not the one that laid the files, they rightly
        differ from what it would write, and only what is missing counts.
    """
    facts = context.journal.facts
    if "agent_sha256" not in facts:
        return []
    found = [*_agent(context, facts), *status_keys.differences(context)]
    if facts.get("repairs") is None:
        return found
    same_agent = hashlib.sha256(agent).hexdigest() == facts["agent_sha256"]
    for path, (data, mode) in mount.planned_files(context).items():
        if not path.exists():
            found.append(f"{path} is missing")
        elif same_agent and path.read_bytes() != data:
            found.append(f"{path} was changed")
        elif path.stat().st_mode & 0o777 != mode:
            found.append(f"{path} has mode {path.stat().st_mode & 0o777:04o}, not {mode:04o}")
    found += _goofys(context)
    return found + _units(context)


def _agent(context: Context, facts: dict[str, Any]) -> list[str]:
    path = context.places.agent
    if not path.exists():
        return [f"{path} is missing"]
    return [] if _sha256(path) == facts["agent_sha256"] else [f"{path} was changed"]


def _goofys(context: Context) -> list[str]:
    path, wanted = context.places.goofys, context.settings.mount
    if wanted.program != "goofys":
        return []
    if not path.exists():
        return [f"{path} is missing"]
    return [] if _sha256(path) == wanted.goofys_sha256 else [f"{path} was changed"]


def _units(context: Context) -> list[str]:
    found = []
    units = mount.units_to_run(context)
    for unit in (RECOVER_UNIT, *units):
        state = context.system.systemctl("is-enabled", unit, check=False).strip()
        if state != "enabled" and (context.places.units / unit).exists():
            found.append(f"{unit} is {state or 'not enabled'}, so it would not start at boot")
    for unit in units:
        if not context.system.is_active(unit):
            found.append(f"{unit} does not run")
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
