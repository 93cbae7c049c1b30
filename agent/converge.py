"""From whatever holds to the phase wanted, edge by edge, forward or back."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any

from . import answers, clean, cutover, mirror, mount, owner, recovery, restore, services
from .context import Context
from .errors import Problem
from .files import lay_reserve
from .journal import PHASES, RESERVE_BYTES
from .s3 import StoreError

#: Transitions that the journal remembers for the report.
REMEMBERED = 30


def route(current: str, target: str) -> list[tuple[str, str]]:
    """The transitions between two phases, each between neighbours."""
    here, there = PHASES.index(current), PHASES.index(target)
    step = 1 if there > here else -1
    return [(PHASES[i], PHASES[i + step]) for i in range(here, there, step)]


def _prepare(context: Context) -> None:
    owner.claim(context)
    mount.start_staging(context)


def _mirror(context: Context) -> None:
    if context.settings.migration.copy_method == "rsync":
        mount.start_staging(context)
    context.journal.facts["last"] = mirror.mirror(context)


def _local(context: Context) -> None:
    mount.stop_staging(context)
    try:
        owner.release(context)
    except (OSError, StoreError, http.client.HTTPException) as error:
        # The store is local: a bucket that cannot be reached any more must not hold the server back.
        context.say(f"the bucket still names this server as its owner: {error}")


def _nothing(context: Context) -> None:
    """The copies in the bucket stay: removing them would only make the next mirror longer."""


#: What each transition does. `cutover` and `restore` journal their own commit, inside the window.
EDGES: dict[tuple[str, str], Callable[[Context], None]] = {
    ("local", "prepare"): _prepare,
    ("prepare", "mirror"): _mirror,
    ("mirror", "live"): cutover.go_live,
    ("live", "clean"): clean.clean,
    ("clean", "live"): restore.refill,
    ("live", "mirror"): restore.back_to_local,
    ("mirror", "prepare"): _nothing,
    ("prepare", "local"): _local,
}


def settled(context: Context, target: str) -> bool:
    """Whether the server is where it should be and nothing is left to prove."""
    journal = context.journal
    proven = journal.serving != "bucket" or journal.facts.get("proven", False)
    return journal.phase == target and journal.step is None and proven


def check_serves(context: Context) -> None:
    """`Problem` where the bucket should serve and does not."""
    if context.journal.serving == "bucket":
        answers.check_answers(context, context.settings.host.store_path)


def check_generation(context: Context, after: str) -> None:
    """`Problem` if the server is not at the generation that was seen when this was planned."""
    journal = context.journal
    if not journal.is_at(after):
        raise Problem(
            f"the server changed since it was looked at (generation {journal.generation}, phase {journal.phase}; "
            f"expected generation {after})",
            "run pulumi up again: it looks anew and shows the plan",
        )


def converge(context: Context, target: str, after: str = "any") -> None:
    """Bring the server to `target`. The caller holds the lock, and checked that the server is at `after`."""
    journal = context.journal
    recovery.recover(context)
    _lay_reserve(context)
    journal.base = str(journal.generation) if after == "any" else after
    context.save()
    if target != "local":
        owner.check(context)
    if journal.phase == "live" and not settled(context, "live") and target in ("live", "clean"):
        cutover.go_live(context)
    for edge in route(journal.phase, target):
        context.say(f"{edge[0]} -> {edge[1]}")
        began, before = time.time(), journal.facts.get("last")
        EDGES[edge](context)
        if journal.phase != edge[1]:
            journal.phase = edge[1]
            journal.generation += 1
        counted = journal.facts.get("last")
        _remember(context, edge, began, counted if counted is not before else None)
        context.save()


def _remember(context: Context, edge: tuple[str, str], began: float, counted: dict[str, Any] | None) -> None:
    """For the report only: where the power fails before it is saved, this is all that is lost."""
    run: dict[str, Any] = {
        "from": edge[0],
        "to": edge[1],
        "began": round(began),
        "seconds": round(time.time() - began, 1),
    }
    run.update(counted or {})
    context.journal.facts["runs"] = [*context.journal.facts.get("runs", []), run][-REMEMBERED:]


def _lay_reserve(context: Context) -> None:
    try:
        lay_reserve(context.places.reserve, RESERVE_BYTES)
    except OSError as error:
        raise Problem(
            f"{context.places.var} has no room for the journal: {error}", "free some space on that disk"
        ) from None


def plan(context: Context, target: str) -> list[str]:
    """What `converge` would do, in words for a preview. Pure but for one walk that the caller made."""
    journal = context.journal
    words = {
        (
            "local",
            "prepare",
        ): "mount the bucket at the staging path and see it answer; claim the bucket for this server",
        ("prepare", "mirror"): "copy the local store into the bucket and compare every file; services run on",
        (
            "mirror",
            "live",
        ): "copy what is new; stop {services}; copy the last files; the bucket becomes the media store; "
        "start them again; prove it (old files, a new file, the homeserver)",
        ("live", "clean"): "compare every file of the local copy once more, then remove the local copy",
        ("clean", "live"): "fetch the whole store from the bucket into a local copy; services run on",
        (
            "live",
            "mirror",
        ): "fetch what is new; stop {services}; fetch the last files; the local copy becomes the media store "
        "again; start them",
        ("mirror", "prepare"): "nothing on the server; the copies in the bucket stay",
        ("prepare", "local"): "unmount the staging path; give the bucket free",
    }
    names = ", ".join(services.running(context)) or "the services that write media"
    return [f"{a} -> {b}: {words[a, b].format(services=names)}" for a, b in route(journal.phase, target)]


def facts(context: Context) -> dict[str, Any]:
    """The verdict's numbers."""
    journal = context.journal
    return {
        "phase": journal.phase,
        "serving": journal.serving,
        "generation": journal.generation,
        "base": journal.base,
        **journal.facts.get("last", {}),
        "runs": journal.facts.get("runs", []),
        "kinds": journal.facts.get("kinds", {}),
        "checked": journal.facts.get("checked"),
    }
