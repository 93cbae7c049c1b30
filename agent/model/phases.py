"""This module is the state machine: phases, who serves, windows with their stages, and what holds after a crash.

It is pure. The journal holds these words, so they never change. docs/architecture.md has the table and the diagram that
`python -m operations.state_machine` makes from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from .errors import Problem, of_later_version


class Word(str, Enum):
    """A `Word` is a member of an enumeration whose value is the word that stands in files and on the wire."""

    def __str__(self) -> str:
        """Return the word itself, without the enumeration's name."""
        return str(self.value)


class Phase(Word):
    """A `Phase` is the state that a stack asks for.

    Phases are in order; in `local`, nothing of ours holds on the server.
    """

    LOCAL = "local"
    PREPARE = "prepare"
    MIRROR = "mirror"
    LIVE = "live"
    CLEAN = "clean"


class Side(Word):
    """A `Side` says who serves the media: the local store, the bucket, or, within a window, nobody.

    In phase local an earlier mount may serve in the place of the local store, as long as it was not adopted.
    """

    LOCAL = "local"
    BUCKET = "bucket"
    NOBODY = "none"


class Window(Word):
    """A `Window` is a transition that stops the services which write media."""

    CUTOVER = "cutover"
    RESTORE = "restore"
    REMOUNT = "remount"
    ADOPT = "adopt"
    MOVE = "move"


class Stage(Word):
    """A `Stage` says how far a window is."""

    DELTA = "delta"
    SWAPPING = "swapping"
    UNDOING = "undoing"
    #: It was committed: the new side serves, and the services are started.
    STARTING = "starting"
    #: It was given up: the earlier side serves, and the services are started.
    UNDONE = "undone"


class Owed(Word):
    """An `Owed` is something still to be done before a phase counts as reached; an empty set of them owes nothing."""

    #: That the bucket serves was not proven yet.
    PROOF = "proof"
    #: The local copy was not walked yet for what nobody told of in the window.
    WALK = "walk"
    #: What was purged in the window is still in the bucket: nothing is removed there while services are down.
    PURGES = "purges"
    #: The bucket was not listed yet for what nobody told of on the way home.
    LISTING = "listing"
    #: The mount runs with earlier settings than those that lie on the server.
    REMOUNT = "remount"
    #: The store that a move left was not looked at yet for what nobody told of.
    LEFT = "left"


class Milestone(Word):
    """A `Milestone` is a moment of a run that programs wait for: a field of the line of progress that tells of it."""

    EDGE_BEGUN = "edge-begun"
    COMPARED = "compared"
    WINDOW_READY = "window-ready"
    SERVING_AGAIN = "serving-again"


#: The word that asks for no particular generation.
ANY = "any"
#: The target of a run that goes to no phase, but mounts anew.
REMOUNT = "remount"
#: The target of a run that goes to no phase, but to another store.
MOVE = "move"


class AfterCrash(NamedTuple):
    """This record says what recovery makes true after a crash in a stage of a window."""

    #: Who serves.
    serves: Side
    #: Whether the mount ends and the local copy becomes the media store again first.
    brings_home: bool
    #: The phase that is committed; None for the one that held before.
    phase: Phase | None
    #: The stage in which the services are started.
    then: Stage


#: The closed table: what holds after a crash in a window's stage. A pair that is not here does not exist.
AFTER_CRASH: Mapping[tuple[Window, Stage], AfterCrash] = MappingProxyType(
    {
        (Window.CUTOVER, Stage.DELTA): AfterCrash(Side.LOCAL, False, Phase.MIRROR, Stage.UNDONE),
        (Window.CUTOVER, Stage.SWAPPING): AfterCrash(Side.LOCAL, True, Phase.MIRROR, Stage.UNDONE),
        (Window.CUTOVER, Stage.UNDOING): AfterCrash(Side.LOCAL, True, Phase.MIRROR, Stage.UNDONE),
        (Window.CUTOVER, Stage.UNDONE): AfterCrash(Side.LOCAL, False, Phase.MIRROR, Stage.UNDONE),
        (Window.CUTOVER, Stage.STARTING): AfterCrash(Side.BUCKET, False, Phase.LIVE, Stage.STARTING),
        (Window.RESTORE, Stage.DELTA): AfterCrash(Side.BUCKET, False, Phase.LIVE, Stage.UNDONE),
        (Window.RESTORE, Stage.SWAPPING): AfterCrash(Side.LOCAL, True, Phase.MIRROR, Stage.STARTING),
        (Window.RESTORE, Stage.STARTING): AfterCrash(Side.LOCAL, False, Phase.MIRROR, Stage.STARTING),
        (Window.RESTORE, Stage.UNDONE): AfterCrash(Side.BUCKET, False, Phase.LIVE, Stage.UNDONE),
        (Window.REMOUNT, Stage.DELTA): AfterCrash(Side.BUCKET, False, None, Stage.STARTING),
        (Window.REMOUNT, Stage.STARTING): AfterCrash(Side.BUCKET, False, None, Stage.STARTING),
        (Window.ADOPT, Stage.DELTA): AfterCrash(Side.LOCAL, False, Phase.LOCAL, Stage.UNDONE),
        (Window.ADOPT, Stage.UNDONE): AfterCrash(Side.LOCAL, False, Phase.LOCAL, Stage.UNDONE),
        (Window.ADOPT, Stage.STARTING): AfterCrash(Side.BUCKET, False, Phase.CLEAN, Stage.STARTING),
        # The store that is left serves, but after `starting` the one that is gone to.
        (Window.MOVE, Stage.DELTA): AfterCrash(Side.BUCKET, False, None, Stage.UNDONE),
        (Window.MOVE, Stage.SWAPPING): AfterCrash(Side.BUCKET, False, None, Stage.UNDONE),
        (Window.MOVE, Stage.UNDONE): AfterCrash(Side.BUCKET, False, None, Stage.UNDONE),
        (Window.MOVE, Stage.STARTING): AfterCrash(Side.BUCKET, False, None, Stage.STARTING),
    }
)

#: Where each window begins.
FIRST = Stage.DELTA

#: The stages that may follow each, in the window's own work and in recovery.
NEXT: Mapping[tuple[Window, Stage], tuple[Stage, ...]] = MappingProxyType(
    {
        (Window.CUTOVER, Stage.DELTA): (Stage.SWAPPING, Stage.UNDONE),
        (Window.CUTOVER, Stage.SWAPPING): (Stage.STARTING, Stage.UNDOING),
        (Window.CUTOVER, Stage.UNDOING): (Stage.UNDONE,),
        (Window.CUTOVER, Stage.UNDONE): (),
        (Window.CUTOVER, Stage.STARTING): (),
        (Window.RESTORE, Stage.DELTA): (Stage.SWAPPING, Stage.UNDONE),
        (Window.RESTORE, Stage.SWAPPING): (Stage.STARTING,),
        (Window.RESTORE, Stage.STARTING): (),
        (Window.RESTORE, Stage.UNDONE): (),
        (Window.REMOUNT, Stage.DELTA): (Stage.STARTING,),
        (Window.REMOUNT, Stage.STARTING): (),
        (Window.ADOPT, Stage.DELTA): (Stage.STARTING, Stage.UNDONE),
        (Window.ADOPT, Stage.UNDONE): (),
        (Window.ADOPT, Stage.STARTING): (),
        (Window.MOVE, Stage.DELTA): (Stage.SWAPPING, Stage.UNDONE),
        (Window.MOVE, Stage.SWAPPING): (Stage.STARTING, Stage.UNDONE),
        (Window.MOVE, Stage.UNDONE): (),
        (Window.MOVE, Stage.STARTING): (),
    }
)

#: The stages in which our mount comes up beside whoever serves still.
MOUNTS_BESIDE = frozenset({(Window.CUTOVER, Stage.DELTA), (Window.ADOPT, Stage.DELTA)})

#: A window that may open while another one is in this stage: a cutover whose proof fails goes home.
FOLLOWS: Mapping[Window, tuple[Window, Stage]] = MappingProxyType({Window.RESTORE: (Window.CUTOVER, Stage.STARTING)})

#: The phase in which each window opens; None for whichever the bucket serves in.
OPENS_IN: Mapping[Window, Phase | None] = MappingProxyType(
    {
        Window.CUTOVER: Phase.MIRROR,
        Window.RESTORE: Phase.LIVE,
        Window.REMOUNT: None,
        Window.ADOPT: Phase.LOCAL,
        Window.MOVE: None,
    }
)


def after_crash(window: Window, stage: Stage) -> AfterCrash:
    """Return what holds after a crash in that stage of that window. Raises `Problem` for a pair that does not exist."""
    try:
        return AFTER_CRASH[window, stage]
    except KeyError:
        raise unknown_state(f"{window}:{stage}") from None


def unknown_state(what: str) -> Problem:
    """Return the `Problem` of a journal whose text `what` this version of the agent does not know."""
    return of_later_version(f"the journal on the server says {what!r}, which this version of the agent does not know")


def forbids_mount(serving: Side, window: tuple[Window, Stage] | None) -> bool:
    """Return whether the bucket must not be mounted as the media store, because that is local or comes home."""
    if serving is Side.LOCAL:
        return True
    return serving is Side.NOBODY and window is not None and (window[0] is Window.RESTORE or window[1] is Stage.UNDOING)


def route(current: Phase, target: Phase) -> list[tuple[Phase, Phase]]:
    """Return the transitions that lead from `current` to `target`, each a pair of neighbouring phases."""
    order = list(Phase)
    here, there = order.index(current), order.index(target)
    step = 1 if there > here else -1
    return [(order[i], order[i + step]) for i in range(here, there, step)]
