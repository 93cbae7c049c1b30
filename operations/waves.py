"""This module updates many stacks, so many at once, and begins no more once too many failed.

Each is its own: one that fails does not take others along. A stack's file says its new phase once its turn has come,
so what was not begun is as it was, and a second run goes on where the first ended.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from pulumi import automation

from components.host.last_known import STRICT

from .workspace import PHASES, ROOT, OperationError, config_file, edit_config, last_line

#: How the engine's lines of progress end: `… updating (12s) copied 5 of 20 files`.
_PROGRESS = re.compile(r"\(\d+s\) (.+)$")


class State(Enum):
    """A `State` says how far a stack of the fleet is."""

    WAITING = "waits"
    RUNNING = "runs"
    DONE = "done"
    BEYOND = "left alone"
    FAILED = "FAILED"
    NOT_BEGUN = "not begun"


#: With one of these, a stack is where it should be.
WELL = (State.DONE, State.BEYOND)


class Stand(NamedTuple):
    """A `Stand` is the phase that a stack's file says, and how far it is: that one, or a later one that it reached."""

    said: str
    far: str


@dataclass(frozen=True)
class Member:
    """A `Member` is a stack of the fleet: how far it was, what it does now, for how many seconds, and its last word."""

    stack: str
    phase: str
    state: State = State.WAITING
    seconds: float = 0.0
    word: str = ""


#: Brings a stack to a phase, or updates it as it is where that is empty; tells progress. Raises OperationError.
Update = Callable[[str, str, Callable[[str], None]], None]
Show = Callable[[Sequence[Member]], None]


def is_beyond(phase: str, wanted: str) -> bool:
    """Return whether a stack in `phase` would be taken back by `wanted`, which a fleet never does. It is pure."""
    # One that no stack may say is told by the stack's own update.
    return bool(wanted) and phase in PHASES and PHASES.index(phase) > PHASES.index(wanted)


def intended(stacks: Mapping[str, Stand], phase: str) -> list[str]:
    """Return what an update of the fleet would do, a line for each stack. It is pure."""
    width = max(map(len, stacks), default=0)
    said = []
    for stack, (file_says, far) in stacks.items():
        target = phase or file_says
        way = f"{far} -> {target}" if target != far else f"{far}, as it is"
        said.append(f"{stack:<{width}}  {f'left alone, it is in {far}' if is_beyond(far, phase) else way}")
    return said


def run(
    stacks: Mapping[str, Stand], phase: str, at_once: int, stop_after: int, update: Update, show: Show
) -> list[Member]:
    """Update the stacks in their order, and return what became of each; `show` is told whenever that changes.

    Where somebody interrupts it, no more are begun, those that run are waited for, and KeyboardInterrupt is raised.

    :param stacks: where each stands, by its name.
    :param stop_after: begin no more after so many failures.
    """
    members = {stack: Member(stack, stand.far) for stack, stand in stacks.items()}
    guard, over = threading.Lock(), threading.Event()

    def note(stack: str, **changes: object) -> None:
        with guard:
            members[stack] = replace(members[stack], **changes)  # type: ignore[arg-type]
            if sum(member.state is State.FAILED for member in members.values()) >= stop_after:
                over.set()
            show([*members.values()])

    def one(stack: str) -> None:
        if is_beyond(stacks[stack].far, phase):
            return note(stack, state=State.BEYOND, word=f"it is in {stacks[stack].far}")
        if over.is_set():
            return note(stack, state=State.NOT_BEGUN)
        began = time.monotonic()

        def say(word: str) -> None:
            note(stack, word=word, seconds=time.monotonic() - began)

        note(stack, state=State.RUNNING)
        try:
            update(stack, phase, say)
        except Exception as error:  # whatever it is, it is this stack's
            word = str(error) if isinstance(error, OperationError) else f"{type(error).__name__}: {error}"
            return note(stack, state=State.FAILED, word=word, seconds=time.monotonic() - began)
        return note(stack, state=State.DONE, word="", seconds=time.monotonic() - began)

    with ThreadPoolExecutor(at_once) as pool:
        futures: list[Future[None]] = []
        try:
            futures += [pool.submit(one, stack) for stack in stacks]
            wait(futures)
        except KeyboardInterrupt:
            over.set()  # Ctrl-C reaches the engines that run too, and they end what they do
            wait(futures)
            raise KeyboardInterrupt("interrupted; no more were begun -- run it again to go on") from None
    for future in futures:
        future.result()  # what went wrong outside of an update
    return [*members.values()]


def update(name: str, phase: str, say: Callable[[str], None]) -> None:
    """Set the phase in a stack's file where one is wanted, and run `pulumi up`. Raises OperationError."""
    workspace = automation.LocalWorkspace(work_dir=str(ROOT), env_vars={STRICT[0]: "1"})

    def told(line: str) -> None:
        if found := _PROGRESS.search(line):
            say(found[1].strip())

    try:
        stack = automation.Stack.select(name, workspace)
        if phase:
            edit_config(stack, config_file(name), "set", "phase", phase)
        stack.up(on_output=told)
    except automation.errors.CommandError as error:
        raise OperationError(last_line(error)) from None


def summary(members: Sequence[Member]) -> list[str]:
    """Return what became of the fleet: how many in each state, and why some failed. It is pure."""
    counts = {state: sum(member.state is state for member in members) for state in State}
    said = [", ".join(f"{count} {state.value}" for state, count in counts.items() if count)]
    said += [f"{member.stack}: {member.word}" for member in members if member.state is State.FAILED]
    if counts[State.NOT_BEGUN]:
        said.append("no more were begun after that: mend it, and run the same again to go on")
    return said


@contextlib.contextmanager
def table() -> Iterator[Show]:
    """Give what shows the fleet: a table that moves at a terminal, elsewhere a line for each change of state."""
    if not sys.stdout.isatty():
        yield _lines()
        return
    from rich.live import Live
    from rich.markup import escape
    from rich.table import Table

    colours = {State.RUNNING: "yellow", State.DONE: "green", State.FAILED: "red", State.NOT_BEGUN: "red"}

    def drawn(members: Sequence[Member]) -> Table:
        made = Table("stack", "was", "state", "seconds", "", box=None, pad_edge=False)
        for member in members:
            state = f"[{colours.get(member.state, 'default')}]{member.state.value}[/]"
            made.add_row(
                escape(member.stack),
                escape(member.phase),
                state,
                f"{member.seconds:.0f}" if member.seconds else "",
                escape(member.word),
            )
        return made

    with Live(drawn([]), refresh_per_second=4) as live:
        yield lambda members: live.update(drawn(members))


def _lines() -> Show:
    told: dict[str, State] = {}

    def show(members: Sequence[Member]) -> None:
        for member in members:
            if member.state is not State.WAITING and told.get(member.stack) is not member.state:
                told[member.stack] = member.state
                seconds = f" after {member.seconds:.0f} s" if member.seconds else ""
                print(
                    f"{member.stack}: {member.state.value}{seconds}{f': {member.word}' if member.word else ''}",
                    flush=True,
                )

    return show
