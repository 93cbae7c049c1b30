"""This module opens a stack through Pulumi's Automation API, on whatever backend the user is logged in to."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from agent.model.phases import Phase

if TYPE_CHECKING:
    from pulumi import automation

#: This program's name, which its releases have.
PROGRAM = "matrix-media-store"
#: What a stack may say as its phase, from the first to the last.
PHASES = tuple(str(phase) for phase in Phase if phase is not Phase.LOCAL)
ROOT = Path(__file__).resolve().parent.parent
#: How the engine's lines begin that say no more than that an update or its program failed.
THAT_IT_FAILED = ("an unhandled error occurred", "update failed", "preview failed")


@cache
def project() -> str:
    """Return the name of the Pulumi project: this program's, unless `pulumi new` gave it another."""
    return str(yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["name"])


class OperationError(Exception):
    """This error is something that an administrator can mend; it is told in one line."""


@contextlib.contextmanager
def opened(name: str) -> Iterator[automation.Stack]:
    """Give the stack of that name. Raises OperationError where it cannot be selected.

    Which stack plain `pulumi` commands act on stays as it was.
    """
    from pulumi import automation  # late: the verbs that need it not are there at once

    workspace = automation.LocalWorkspace(work_dir=str(ROOT))
    with selected(workspace):
        try:
            stack = automation.Stack.select(name, workspace)
        except automation.errors.StackNotFoundError:
            raise OperationError(f"there is no stack {name!r} -- `pulumi stack ls` lists them") from None
        except automation.errors.CommandError as error:
            raise OperationError(last_line(error)) from None
        yield stack


def selection_kept() -> contextlib.AbstractContextManager[None]:
    """Return a context in which any stack may be selected; see `selected`."""
    from pulumi import automation

    return selected(automation.LocalWorkspace(work_dir=str(ROOT)))


@contextlib.contextmanager
def selected(workspace: automation.Workspace) -> Iterator[None]:
    """Let the body select any stack; afterwards the one that was selected before is so again. Raises OperationError."""
    from pulumi import automation

    try:
        before = next((stack.name for stack in workspace.list_stacks() if stack.current), None)
    except automation.errors.CommandError as error:
        raise OperationError(last_line(error)) from None
    try:
        yield
    finally:
        if before:
            workspace.select_stack(before)


def last_line(error: Exception) -> str:
    """Return the engine's own word for what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.removeprefix("stderr: ") for line in lines if line.removeprefix("stderr: ").startswith("error:")]
    telling = [line for line in said if not line.removeprefix("error: ").startswith(THAT_IT_FAILED)]
    return (telling or said or lines or ["pulumi failed"])[-1].removeprefix("error: ")


def config_file(name: str) -> Path:
    """Return the path of the stack's configuration; the name may say an organisation too, as on Pulumi Cloud."""
    return ROOT / "stacks" / f"Pulumi.{name.rpartition('/')[2]}.yaml"


def read_config(stack: automation.Stack, file: Path) -> dict[str, Any]:
    """Return the whole configuration in a file, decrypted. Raises OperationError where the engine cannot read it."""
    text = pulumi("config", "--show-secrets", "--json", *_of(stack, file))
    return {key: entry.get("objectValue", entry["value"]) for key, entry in json.loads(text).items()}


def edit_config(stack: automation.Stack, file: Path, *arguments: str, value: str = "") -> None:
    """Run `pulumi config …` on a configuration file; a value goes by standard input, where nobody sees it.

    Raises OperationError where the engine refuses.
    """
    pulumi("config", *arguments, *_of(stack, file), value=value)


def _of(stack: automation.Stack, file: Path) -> list[str]:
    return ["--stack", stack.name, "--config-file", str(file)]


def pulumi(*arguments: str, value: str = "") -> str:
    """Run the engine's command line with `value` on its standard input, and return its standard output.

    Raises OperationError with its own word where it fails.
    """
    done = subprocess.run(
        ["pulumi", *arguments, "--non-interactive"], cwd=ROOT, input=value, capture_output=True, text=True
    )
    if done.returncode:
        raise OperationError(last_line(Exception(done.stderr)))
    return done.stdout
