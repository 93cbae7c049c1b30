"""This module makes what `pulumi up` says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .settings import ALONE, Settings

_NEXT = {
    "prepare": "copy while everything runs: pulumi config set phase mirror && pulumi up",
    "mirror": "move to the bucket in a short window: pulumi config set phase live && pulumi up",
    "live": "once you are confident, remove the local copy {backup}: pulumi config set phase clean && pulumi up; "
    "or go back: pulumi config set phase prepare && pulumi up",
    "clean": "nothing; to go back (everything is downloaded): pulumi config set phase prepare && pulumi up",
}


#: By host.storageProvider and phase, what comes before that.
_PROVIDER = {
    ("from", "live"): "take synapse-s3-storage-provider out of vars.yml, run the playbook, and set "
    "host.storageProvider to none; then, ",
    ("to", "mirror"): "media-store playbook-vars prints the provider's lines for vars.yml; once the playbook ran with "
    "them: pulumi up, then pulumi destroy; or ",
}


def _backup(media_store: str) -> str:
    return f"{media_store}-local-backup"


def next_step(phase: str, settings: Settings) -> str:
    """Return what to do after `phase`, with its command; it is empty for a phase without a next step."""
    before = _PROVIDER.get((settings.host.storage_provider, phase), "")
    said = before + _NEXT.get(phase, "").format(backup=_backup(settings.host.media_store))
    others = [name or ALONE for name in settings.all_stores if name != settings.store_name]
    if phase not in ("live", "clean") or not others:
        return said
    there = f"the media are in the store {settings.store_name or ALONE}"
    back = f"back, or on, is another move: pulumi config set serve {others[0]} && pulumi up"
    return f"{said}; {there}: take {', '.join(others)} out of the stack once you are confident; {back}"


#: Of the verdict, what is for the report and too much for a terminal.
_FOR_THE_REPORT = ("runs", "kinds", "checked")


def latest(verdict: Mapping[str, Any], moved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the verdict of the last run to a phase, or that of the last move, whichever began later. It is pure."""

    def began(told: Mapping[str, Any]) -> float:
        runs = told.get("runs", [])
        return float(runs[-1]["began"]) if runs else 0.0

    return moved if began(moved) > began(verdict) else verdict


def shown_verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict as `pulumi up` shows it, and as the next update finds it in the state."""
    return {name: value for name, value in verdict.items() if name not in _FOR_THE_REPORT}


def summary(verdict: Mapping[str, Any], media_store: str) -> str:
    """Return what holds now, in a sentence. It is pure.

    It says how much was compared, how long services stood still, and where the local copy is.
    """
    said = []
    if "files" in verdict:
        said.append(
            f"{verdict['files']:,} files, {verdict.get('bytes', 0) / 1e6:,.1f} MB were compared equal on both sides"
        )
    if "services_held_seconds" in verdict:
        said.append(f"services ran on, and stood still for {verdict['services_held_seconds']:.2f} s")
    if "services_stopped_seconds" in verdict:
        stopped = f"services were stopped for {verdict['services_stopped_seconds']:.1f} s"
        said.append(f"{stopped} (window {verdict['window_seconds']:.1f} s)" if "window_seconds" in verdict else stopped)
    if verdict.get("phase") == "live":
        said.append(f"the local copy is {_backup(media_store)}: keep it until you are confident")
    return "; ".join(said)
