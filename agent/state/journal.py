"""This module is the server's own memory of the migration: what holds, what is under way, how often it changed.

It alone writes the phase, who serves, the window and the generation. It is one JSON file, replaced atomically.
`state.formats` reads what earlier agents wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from ..host.files import read_json, write_dearly, write_json
from ..model.errors import Problem
from ..model.layout import Layout
from ..model.phases import (
    ANY,
    FIRST,
    FOLLOWS,
    MOUNTS_BESIDE,
    NEXT,
    Owed,
    Phase,
    Side,
    Stage,
    Window,
    after_crash,
    forbids_mount,
)  # fmt: skip
from . import formats
from .records import Installed, LocalStore, OpenWindow, Owner

if TYPE_CHECKING:
    from ..model.protocol import Comparison, Counts, Transition

#: Bytes laid aside so that the journal can be written on a full disk: a window must end there too.
RESERVE_BYTES = 1 << 20
#: Transitions that the journal remembers for the report.
REMEMBERED = 30


class Lost(Problem):
    """This `Problem` says that the journal is gone from a server that has settings: something was laid there."""


@dataclass(eq=False, repr=False)
class Journal:
    """A `Journal` says what holds on the server. Assign to no field from outside but those below `base`."""

    layout: Layout
    phase: Phase = Phase.LOCAL
    serving: Side = Side.LOCAL
    window: OpenWindow | None = None
    generation: int = 0
    #: What the last run was told to start from; see `is_at`.
    base: str = "0"
    owed: set[Owed] = field(default_factory=set)
    local_store: LocalStore | None = None
    installed: Installed = Installed()
    #: At which change of hands the bucket became this server's; 0 where that is not known.
    epoch: int = 0
    #: The unit whose mount served before ours, or is about to be taken over; empty where there was none.
    earlier_unit: str = ""
    #: The services that the last cutover stopped: they are started wherever its proof leads.
    stopped: tuple[str, ...] = ()
    #: The numbers of the last transition that had some, and transitions of the past, for the report.
    last: Counts = field(default_factory=dict)  # type: ignore[assignment]
    history: list[Transition] = field(default_factory=list)
    kinds: dict[str, list[int]] = field(default_factory=dict)
    checked: Comparison | None = None

    @classmethod
    def load(cls, layout: Layout) -> Journal:
        """Return the journal of the server, or that of a server that nothing was done to, where there is none.

        Raises `Lost` where there is none and something was laid, and `Problem` where the file is damaged, or says what
        this agent does not know.
        """
        document = read_json(layout.journal)
        if document is not None:
            return cls(layout, **formats.read(layout.journal, document))
        if layout.settings.exists():
            raise Lost(f"{layout.journal} is gone", "run pulumi up: it makes a new one of what lies on the server")
        return cls(layout)

    def save(self, dearly: bool = True) -> None:
        """Write the file; with `dearly` on a full disk too, where the reserve makes room for it.

        A window begins without `dearly` and ends with it. Raises OSError where the file cannot be written.
        """
        document = asdict(self)
        del document["layout"]
        document = formats.written({**document, "owed": sorted(self.owed)})
        if dearly:
            write_dearly(self.layout.journal, document, self.layout.reserve)
        else:
            write_json(self.layout.journal, document)
        if self.local_store:
            with contextlib.suppress(OSError):  # it is for the case that this file is lost, and a disk may be full
                write_json(self.layout.local_store, asdict(self.local_store))

    # What the journal says

    def is_at(self, after: str) -> bool:
        """Return whether `after` is the generation that is expected, or `any`.

        What follows a point in `after` tells apart runs that saw the same generation.
        """
        return after == ANY or after.partition(".")[0] == str(self.expected().generation)

    def expected(self) -> Journal:
        """Return what the journal says once a window that was interrupted is finished or undone.

        Phase and generation are the same before and after recovery, so it keeps no run from what was planned.
        """
        if self.window is None:
            return self
        phase = after_crash(self.window.name, self.window.stage).phase or self.phase
        return replace(self, phase=phase, generation=self.generation + int(phase is not self.phase))

    @property
    def owner(self) -> Owner:
        """Return the owner of the media store, as found when it was local. Raises `Problem` where that is not known."""
        store = self._local_store()
        return Owner(store.uid, store.gid)

    @property
    def mode(self) -> int:
        """Return the mode of the media store's folder, as found when it was local. Raises `Problem` as `owner` does."""
        return self._local_store().mode

    def _local_store(self) -> LocalStore:
        if self.local_store is None:
            raise Problem("the journal does not know whose the media store is", "run pulumi up: it looks anew")
        return self.local_store

    @property
    def units(self) -> tuple[str, ...]:
        """Return the services to start after the window that is open."""
        return self.window.units if self.window else ()

    def settled(self, target: Phase) -> bool:
        """Return whether the server is in that phase, no window is open, and no proof and no listing is owed."""
        owed = {Owed.PROOF, Owed.LISTING, Owed.LEFT} & self.owed
        return self.phase is target and self.window is None and not owed

    def forbids_mount(self) -> bool:
        """Return whether the bucket must not be mounted as the media store now."""
        return forbids_mount(self.serving, (self.window.name, self.window.stage) if self.window else None)

    def mounts_beside(self) -> bool:
        """Return whether a mount that starts now waits beside whoever serves, until it is brought to its place."""
        return self.window is not None and (self.window.name, self.window.stage) in MOUNTS_BESIDE

    def is_moving(self) -> bool:
        """Return whether a window moves the store now, so that what is written to it may stay behind."""
        return self.window is not None and self.window.stage in (Stage.SWAPPING, Stage.UNDOING)

    # Windows. Each of these is written before it returns.

    def open(self, name: Window, units: Iterable[str]) -> None:
        """Write that a window begins, in which nobody may serve; `units` are the services to start after it.

        Raises OSError where it cannot be written: then nothing began. Raises `Problem` while another window is open.
        """
        if self.window and (self.window.name, self.window.stage) != FOLLOWS.get(name):
            raise self._wrong(f"open {name}")
        before = self.window, self.serving
        self.window, self.serving = OpenWindow(name, FIRST, tuple(sorted(set(units)))), Side.NOBODY
        try:
            self.save(dearly=False)
        except OSError:
            self.window, self.serving = before
            raise

    def add_units(self, units: Iterable[str], dearly: bool = True) -> None:
        """Write down further services to start after the window; `dearly` is as in `save`."""
        window = self._open_window()
        self.window = replace(window, units=tuple(sorted({*window.units, *units})))
        self.save(dearly)

    def advance(self, stage: Stage) -> None:
        """Write that the window is in a further stage, before that one's work begins.

        Raises `Problem` where that stage cannot follow.
        """
        self._enter(stage)
        self.save()

    def commit(self, side: Side, phase: Phase, owed: Collection[Owed], counts: Counts | None = None) -> None:
        """Write that `side` serves, in that phase, with `owed` left to do; the services are to be started now.

        Raises `Problem` where the window does not end so.
        """
        self._enter(Stage.STARTING)
        outcome = after_crash(self._open_window().name, Stage.STARTING)
        if outcome.serves is not side or outcome.phase not in (phase, None):
            raise self._wrong(f"commit {side} in phase {phase}")
        self.owed = set(owed)
        self._hold(side, phase, counts)

    def recover(self) -> None:
        """Write what the table `AFTER_CRASH` says of the stage in which the window was interrupted."""
        window = self._open_window()
        outcome = after_crash(window.name, window.stage)
        if window.stage is not outcome.then:
            self._enter(outcome.then)
        if outcome.serves is Side.LOCAL:
            self.owed -= {Owed.PROOF, Owed.WALK, Owed.PURGES}
        self._hold(outcome.serves, outcome.phase or self.phase)

    def close(self) -> None:
        """Write that the window is over: its services were told to start.

        Raises `Problem` where it is neither committed nor given up.
        """
        if self._open_window().stage not in (Stage.STARTING, Stage.UNDONE):
            raise self._wrong("close")
        self.window = None
        self.save()

    # Everything else. These are written with the next save.

    def correct(self, side: Side, phase: Phase, owed: Collection[Owed], generation: int) -> None:
        """Set who serves, and in which phase, by what lies on disk; that makes a generation after `generation`, too.

        Raises `Problem` in a window.
        """
        if self.window:
            raise self._wrong(f"correct {side}")
        self.serving, self.phase, self.owed = side, phase, set(owed)
        self.generation = max(self.generation, generation) + 1

    def reach(self, phase: Phase) -> None:
        """Set the phase after a transition; one that changes it makes a new generation.

        Raises `Problem` in a window.
        """
        if self.window:
            raise self._wrong(f"reach {phase}")
        if self.phase is not phase:
            self.phase = phase
            self.generation += 1

    def start_from(self, base: str) -> None:
        """Remember which generation a run was told to start from; `any` stands for the present one."""
        self.base = str(self.generation) if base == ANY else base

    def remember(self, transition: Transition) -> None:
        """Remember a transition for the report; of more than REMEMBERED, the oldest is forgotten."""
        self.history = [*self.history, transition][-REMEMBERED:]

    def note_local_copy(self, token: str, inode: int | None) -> None:
        """Remember how the local copy is known from now on; an empty token and None are for no local copy."""
        self.local_store = replace(self._local_store(), token=token, inode=inode)

    def note_links(self, links: dict[str, str]) -> None:
        """Remember the links at the top of the media store, each with what it says, while no local copy has them."""
        self.local_store = replace(self._local_store(), links=links)

    def note_agent(self, sha256: str) -> None:
        """Remember the SHA-256 of the agent that was laid on the server."""
        self.installed = replace(self.installed, agent_sha256=sha256)

    def note_repairs(self, mark: str | None) -> None:
        """Remember the mark of the last repair; None says that nothing of the mount is expected on the server."""
        self.installed = replace(self.installed, repairs=mark)

    def note_status_keys(self, file: str) -> None:
        """Remember the path of the file that has the status keys; it is empty where there are none."""
        self.installed = replace(self.installed, status_keys=file)

    def _hold(self, side: Side, phase: Phase, counts: Counts | None = None) -> None:
        if self.phase is not phase:
            self.generation += 1
        self.serving, self.phase = side, phase
        if counts is not None:
            self.last = counts
        self.save()

    def _open_window(self) -> OpenWindow:
        if self.window is None:
            raise self._wrong("go on with a window")
        return self.window

    def _enter(self, stage: Stage) -> None:
        window = self._open_window()
        if stage not in NEXT.get((window.name, window.stage), ()):
            raise self._wrong(f"enter {stage}")
        self.window = replace(window, stage=stage)

    def _wrong(self, what: str) -> Problem:
        where = f"{self.window.name}:{self.window.stage}" if self.window else "no window is open"
        return Problem(
            f"the journal refuses to {what} ({where}, {self.serving} serves, phase {self.phase})",
            "this is a defect of the agent: please report it; pulumi up recovers first and goes on",
        )
