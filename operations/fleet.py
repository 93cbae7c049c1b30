"""This module previews what `pulumi up` would change on many servers, each a stack, side by side."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from pulumi import automation

from components.host.last_known import STRICT

from . import changed
from .concerned import stacks
from .waves import Stand, is_beyond
from .workspace import PHASES, ROOT, OperationError, config_file, last_line, project, selected

#: Previews at once: each is an engine and a Python process, and a connection to its server.
AT_ONCE = 4
NONE = "no stack has its configuration under stacks/ and is known to the backend"


@dataclass(frozen=True)
class Preview:
    """A `Preview` is what a stack would do, by kind of change, or why that cannot be told."""

    stack: str
    #: The phase that it would be brought to.
    phase: str
    changes: Mapping[str, int]
    problem: str = ""
    #: The phase that the last update left; empty where there was none.
    left: str = ""


def members(names: Sequence[str], chosen: Sequence[str] = ()) -> list[str]:
    """Return those of the backend's stacks that have their configuration under stacks/, or the chosen ones of them.

    :param chosen: names, or patterns as a shell has them; all where there are none.
    """
    found = sorted(name for name in names if config_file(name).exists())
    return [name for name in found if not chosen or any(fnmatch(name, pattern) for pattern in chosen)]


def unknown(names: Sequence[str]) -> list[str]:
    """Return the stacks that have their configuration here, and that are none of the backend's."""
    there = {config_file(name).name for name in names}
    return [name for path, name in stacks(ROOT.glob("stacks/Pulumi.*.yaml")).items() if Path(path).name not in there]


def known(chosen: Sequence[str] = ()) -> dict[str, Stand]:
    """Return where each stack of the fleet stands, by its name.

    Raises OperationError where the backend does not list the stacks, or one of them cannot be read.
    """
    workspace = automation.LocalWorkspace(work_dir=str(ROOT))
    with selected(workspace):
        found = {name: automation.Stack.select(name, workspace) for name in _members(workspace, chosen)}
        return {name: _stands(stack, _left(stack)) for name, stack in found.items()}


def _members(workspace: automation.Workspace, chosen: Sequence[str]) -> list[str]:
    names = [stack.name for stack in workspace.list_stacks()]
    if lost := unknown(names):
        print(f"warning: the backend does not know {', '.join(lost)}: left out", file=sys.stderr)
    return members(names, chosen)


def _left(stack: automation.Stack) -> str:
    """Return the phase in which the last update left the server; it is empty where there was none."""
    output = stack.outputs().get("phase")
    return str(output.value) if output else ""


def _stands(stack: automation.Stack, left: str) -> Stand:
    """Return the phase that the stack's file says, and that one or the later one in which the last update left it."""
    entry = stack.get_all_config().get(f"{project()}:phase")
    said = entry.value if entry else "prepare"
    return Stand(said, max([said, left], key=lambda phase: PHASES.index(phase) if phase in PHASES else -1))


def preview_all(phase: str = "", chosen: Sequence[str] = ()) -> list[Preview]:
    """Preview every stack; one that fails has a `problem` and does not keep the others.

    With a phase, those that are not so far are previewed as if they said it. Raises OperationError where the backend
    does not list the stacks.
    """
    workspace = automation.LocalWorkspace(work_dir=str(ROOT))
    with selected(workspace), ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: preview(name, phase), _members(workspace, chosen)))


def preview(name: str, wanted: str = "") -> Preview:
    """Preview one stack, as if it said the phase `wanted` where it is not beyond that."""
    phase, left = "?", ""
    # Among many lines nobody would see that one was planned from a last known state: a silent server is a failure.
    workspace = automation.LocalWorkspace(work_dir=str(ROOT), env_vars={STRICT[0]: "1"})
    try:
        stack = automation.Stack.select(name, workspace)
        left = _left(stack)
        phase, far = _stands(stack, left)
        if wanted and not is_beyond(far, wanted):
            done, phase = changed.preview(stack, changed.to_phase(stack, wanted)), wanted
        else:
            done = stack.preview()
    except automation.errors.CommandError as error:
        return Preview(name, phase, {}, last_line(error), left)
    except OperationError as error:
        return Preview(name, phase, {}, str(error), left)
    changes: dict[str, int] = {kind: count for kind, count in done.change_summary.items() if kind != "same"}
    return Preview(name, phase, changes, left=left)


def lines(previews: Sequence[Preview]) -> list[str]:
    """Return the previews as a table for people, a line each. It is pure."""
    if not previews:
        return [NONE]
    rows = [("stack", "phase", "pulumi up would")]
    for preview in previews:
        change = ", ".join(f"{kind} {count}" for kind, count in sorted(preview.changes.items())) or "change nothing"
        ways = [preview.left] if preview.left and preview.left != preview.phase else []
        word = f"FAIL: {preview.problem}" if preview.problem else change
        rows.append((preview.stack, " -> ".join([*ways, preview.phase]), word))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{stack:<{first}}  {phase:<{second}}  {word}" for stack, phase, word in rows]
