"""This module changes a stack's configuration as it is agreed to: shown by a preview, asked, then applied.

The stack's file changes only once the change was agreed to; until then a copy beside it is previewed. If this ends in
between, the file is as it was; once it is replaced, `pulumi up` goes on where this ended.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pulumi import automation

from .workspace import OperationError, config_file, edit_config, last_line

#: Changes a stack's configuration file, which is a copy until that was agreed to. Raises OperationError.
Write = Callable[[Path], None]


def to_phase(stack: automation.Stack, phase: str) -> Write:
    """Return what sets a phase; with an empty one nothing changes."""

    def write(file: Path) -> None:
        if phase:
            edit_config(stack, file, "set", "phase", phase)

    return write


@contextlib.contextmanager
def _copy(stack: automation.Stack, write: Write) -> Iterator[Path]:
    """Give the path of a changed copy of the stack's file, which is gone afterwards."""
    file = config_file(stack.name)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".changed-") as folder:
        new = Path(folder, file.name)
        new.write_bytes(file.read_bytes())
        write(new)
        yield new


def preview(
    stack: automation.Stack, write: Write, event: Callable[[automation.EngineEvent], None] | None = None
) -> automation.PreviewResult:
    """Preview the stack as `write` changes it; its file stays as it is. Raises OperationError where that fails.

    `event` is told of each of the engine's events.
    """
    with _copy(stack, write) as new:
        try:
            return stack.preview(config_file=str(new), on_event=event)
        except automation.errors.CommandError as error:
            raise OperationError(last_line(error)) from None


def apply(stack: automation.Stack, write: Write, agreed: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Preview, ask and apply; return whether it was agreed to. `write` changes a copy of the stack's file.

    Raises OperationError where it cannot be done.
    """
    file = config_file(stack.name)
    before = file.read_bytes()
    with _copy(stack, write) as new:
        try:
            stack.preview(config_file=str(new), diff=True, on_output=say)
        except automation.errors.CommandError as error:
            raise OperationError(f"{last_line(error)}; nothing was changed") from None
        if not agreed():
            return False
        if file.read_bytes() != before:
            raise OperationError(f"{file} was changed meanwhile; nothing was done -- start again")
        os.replace(new, file)
    go_on = f"{file} has the new configuration: run pulumi up to go on"
    try:
        stack.up(on_output=say)
    except automation.errors.CommandError as error:
        raise OperationError(f"{last_line(error)} -- {go_on}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted -- {go_on}") from None
    return True
