"""This module leads from whatever holds to the phase wanted, transition by transition, forward or back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..host.files import lay_reserve
from ..model.errors import Problem
from ..model.phases import ANY, Milestone, Owed, Phase
from ..serving import earlier_mount, hold, writers
from ..state.journal import RESERVE_BYTES, Journal
from ..state.run import Run, Server
from ..store import ownership
from . import recovery
from .adopt import leads_to_clean
from .edges import Edge, way

if TYPE_CHECKING:
    from ..model.protocol import Counts, Transition, Verdict


def check_generation(journal: Journal, after: str) -> None:
    """Raise `Problem` if the server is not at the generation that was seen when this was planned."""
    if not journal.is_at(after):
        now = journal.expected()
        raise Problem(
            f"the server changed since it was looked at (generation {now.generation}, phase {now.phase}; "
            f"expected generation {after})",
            "run pulumi up again: it looks anew and shows the plan",
        )


def converge(run: Run, target: Phase, after: str = ANY) -> None:
    """Bring the server to `target`. The caller holds the lock, and checked that the server is at `after`.

    Raises `Problem` where a transition fails, which the next call goes on with.
    """
    journal = run.journal
    recovery.recover(run)
    _lay_reserve(run)
    journal.start_from(after)
    journal.save()
    if target is not Phase.LOCAL:
        store = run.settings.store
        ownership.check(run.bucket, run.server.ids, store.bucket, store.adopt)
    adopts = earlier_mount.is_due(run.server, journal)
    if adopts and target not in (Phase.CLEAN, Phase.LOCAL):
        raise leads_to_clean()
    if target is Phase.CLEAN and is_too_soon(run.server, journal):
        raise clean_too_soon(journal.phase)
    for edge in way(journal, target, adopts):
        _take(run, edge)


def is_too_soon(server: Server, journal: Journal) -> bool:
    """Return whether the local copy must not go yet: the bucket does not serve, or no earlier run proved that it does.

    Without one, nothing is too soon.
    """
    is_gone = journal.phase is Phase.CLEAN or earlier_mount.is_due(server, journal)
    is_proven = journal.phase is Phase.LIVE and Owed.PROOF not in journal.owed
    return not is_gone and not is_proven and not server.settings.migration.clean_at_once


def clean_too_soon(phase: Phase) -> Problem:
    """Return the `Problem` of a local copy that would be gone as soon as the bucket serves."""
    return Problem(
        f"phase clean would follow {phase} in one update: the local copy would be gone seconds after the bucket serves",
        "set phase to live first, and to clean once you are confident; migration.cleanAtOnce: true does both at once",
    )


def _take(run: Run, edge: Edge) -> None:
    run.say(f"{edge.begins} -> {edge.ends}")
    run.reached(Milestone.EDGE_BEGUN, f"{edge.begins}->{edge.ends}")
    began = time.time()
    counts = edge.does(run)
    journal = run.journal
    journal.reach(edge.ends)
    if counts is not None:
        journal.last = counts
    if edge.begins is not edge.ends:
        # For the report only: where the power fails before it is saved, this is all that is lost.
        journal.remember(_transition(edge, began, counts))
    journal.save()


def _transition(edge: Edge, began: float, counts: Counts | None) -> Transition:
    seconds = round(time.time() - began, 1)
    told: Transition = {"to": edge.ends, "began": round(began), "seconds": seconds, **(counts or {})}
    return {"from": edge.begins, **told}  # type: ignore[typeddict-unknown-key]


def _lay_reserve(run: Run) -> None:
    try:
        lay_reserve(run.layout.reserve, RESERVE_BYTES)
    except OSError as error:
        raise Problem(
            f"{run.layout.var} has no room for the journal: {error}", "free some space on that disk"
        ) from None


def plan(server: Server, journal: Journal, target: Phase) -> list[str]:
    """Return what `converge` would do, in words for a preview."""
    adopts = earlier_mount.is_due(server, journal)
    edges = way(journal, target, adopts)
    told = {
        "services": ", ".join(writers.running(server)) or "the services that write media",
        "mount": earlier_mount.told(server) if adopts else "",
    }
    why_not = hold.why_not(server)

    def says(edge: Edge) -> str:
        text = edge.says.format_map(told)
        if not edge.says_held or server.settings.cutover.method == "restart":
            return text
        return f"{text}; they are not held: {why_not}" if why_not else edge.says_held.format_map(told)

    return [f"{edge.begins} -> {edge.ends}: {says(edge)}" for edge in edges]


def verdict(journal: Journal) -> Verdict:
    """Return the numbers with which a run ends."""
    told: Verdict = {
        "phase": journal.phase,
        "serving": journal.serving,
        "generation": journal.generation,
        "base": journal.base,
        "runs": journal.history,
        "kinds": journal.kinds,
        "checked": journal.checked,
    }
    told.update(journal.last)  # type: ignore[typeddict-item]
    return told
