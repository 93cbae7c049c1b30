"""This module reads the journal's first format, which had no number. It is pure."""

from __future__ import annotations

from typing import Any

from ..model.phases import Owed, Side, Stage, Window, after_crash
from .formats import word


def converted(old: dict[str, Any]) -> dict[str, Any]:
    """Return a document of the first format as one of this format.

    Half of the first format stood in `facts`, without types. Raises `Problem` for a word that this agent does not know,
    and KeyError or TypeError where the document is damaged.
    """
    facts, step = dict(old.get("facts", {})), old.get("step")
    if step is not None and step["stage"] == Stage.STARTING:
        # It had no word of its own for a window that was given up: who serves told.
        window, stage = word(Window, step["name"]), Stage.STARTING
        if after_crash(window, stage).serves != old["serving"]:
            stage = Stage.UNDONE
        step = {**step, "stage": stage}
    owed = set()
    # In a window nobody serves; where it is given up, the bucket may serve again, as little proven as before.
    if old["serving"] != Side.LOCAL and not facts.get("proven", False):
        owed.add(Owed.PROOF)
    if not facts.get("verified", True):
        owed.add(Owed.WALK)
    if facts.get("remount", False):
        owed.add(Owed.REMOUNT)
    store = None
    if "uid" in facts:
        store = {name: facts[name] for name in ("uid", "gid", "mode")}
        store["inode"] = facts.get("store_inode")
    return {
        **{name: old[name] for name in ("phase", "serving", "generation", "base")},
        "window": step,
        "owed": owed,
        "local_store": store,
        "installed": {
            "agent_sha256": facts.get("agent_sha256", ""),
            "repairs": facts.get("repairs"),
            "status_keys": facts.get("status_keys", ""),
        },
        "stopped": facts.get("units", []),
        "last": facts.get("last", {}),
        "history": facts.get("runs", []),
        "kinds": facts.get("kinds", {}),
        "checked": facts.get("checked"),
    }
