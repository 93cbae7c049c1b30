"""Back to the configuration of an earlier update: shown, asked, then applied.

Credentials, the connection and keys stay the current ones unless named: old ones may be revoked, or lead
to a server that is gone. The stack's file changes only once the change was agreed to; until then a copy
beside it is previewed. If this ends in between, the file is as it was; once it is replaced, `pulumi up`
goes on where this ended.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pulumi import automation

from components.settings import is_secret

from .history import Leaves, Update, changes, leaves, plain, updates
from .workspace import OperationError, config_file, edit_config, last_line

#: What stays as it is now besides secrets and the providers' own settings: how the server is reached, the
#: number of the key, and whether another server's bucket may be taken over.
KEPT = ("server", "store.keyGeneration", "store.adopt")


def stays(path: str) -> bool:
    """Whether a setting keeps its current value in a rollback that does not name it. Pure."""
    return ":" in path or is_secret(path) or any(path == kept or path.startswith(f"{kept}.") for kept in KEPT)


def target(now: Leaves, then: Leaves, named: Collection[str] = ()) -> dict[str, object]:
    """The configuration to go to. Pure."""
    kept = {path: value for path, value in now.items() if stays(path) and not _covered(path, named)}
    back = {path: value for path, value in then.items() if not stays(path) or _covered(path, named)}
    return {**kept, **back}


def _covered(path: str, named: Collection[str]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in named)


def chosen(found: Sequence[Update], number: int) -> Update:
    """The update of that number; OperationError where there is none to go back to. Pure."""
    update = next((one for one in found if one.number == number), None)
    if update is None:
        raise OperationError(f"there is no update {number} -- `make history STACK=…` lists them")
    if update.kind == "destroy":
        raise OperationError(f"update {number} destroyed the stack -- `pulumi destroy` does that again")
    return update


def write_target(stack: automation.Stack, file: Path, now: Leaves, wanted: Leaves) -> None:
    """Bring a configuration file from `now` to `wanted`, leaf by leaf, comments and all else kept."""
    sections = {_section(path) for path in wanted}
    empty = {_section(path) for path in now} - sections
    for section in sorted(empty):
        edit_config(stack, file, "rm", section)
    for path in sorted(set(now) - set(wanted), reverse=True):  # the end of a list first
        if _section(path) in sections:
            edit_config(stack, file, "rm", "--path", path)
    for path, value in wanted.items():
        if now.get(path) != value:
            edit_config(stack, file, "set", "--path", *_form(path, value), path, value=_text(value))


def _section(path: str) -> str:
    """The whole entry in the stack's file that a setting is in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _form(path: str, value: object) -> list[str]:
    """How `pulumi config set` is to store a value. It takes `5` for a number, and random letters for a secret."""
    if is_secret(path):
        return ["--secret"]
    if isinstance(value, str):
        return ["--type", "string"] if re.fullmatch(r"-?\d+|true|false", value) else ["--plaintext"]
    return ["--type", {bool: "bool", int: "int"}.get(type(value), "float")]


def rollback(
    stack: automation.Stack, number: int, named: Collection[str], agreed: Callable[[], bool], say: Callable[[str], None]
) -> bool:
    """Preview, ask, apply; whether it was agreed to. Raises OperationError, with the stack's file as it was."""
    update = chosen(updates(stack), number)
    now = leaves({key: plain(value) for key, value in stack.get_all_config().items()})
    wanted = target(now, update.config, named)
    say(f"update {update.number} of {update.started:%Y-%m-%d %H:%M:%S} ({update.phase}, {update.result})")
    lines = changes(now, wanted)
    for line in lines or ["the configuration is the same as now"]:
        say(f"  {line}")
    file = config_file(stack.name)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".rollback-") as folder:
        new = Path(folder, file.name)
        shutil.copy2(file, new)
        write_target(stack, new, now, wanted)
        try:
            stack.preview(config_file=str(new), diff=True, on_output=say)
            if not agreed():
                return False
            os.replace(new, file)
            stack.up(on_output=say)
        except automation.errors.CommandError as error:
            raise OperationError(last_line(error)) from None
    return True
