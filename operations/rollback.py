"""This module goes back to the configuration of an earlier update: shown, asked, then applied.

Credentials, the connection and keys stay the current ones unless named: old ones may be revoked, or lead to a server
that is gone. How it is applied: `changed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pulumi import automation

from components.settings import ALONE, is_secret

from . import changed
from .history import Leaves, Update, changes, encrypted, leaves, plain, updates
from .workspace import OperationError, config_file, edit_config, read_config

#: What stays as it is now besides secrets and the providers' own settings: how the server is reached, the
#: number of the key, and what was agreed to once: another server's bucket, and what may be deleted.
KEPT = (
    "server",
    "shared",  # no single stack's to take back
    "store.keyGeneration",
    "store.adopt",
    "host.adoptMount",
    "migration.confirmed",
    "migration.deletionLimitPercent",
)


#: How the settings of a store with a name begin.
_NAMED_STORE = re.compile(r"^stores\.[^.\[]+\.")


def stays(path: str) -> bool:
    """Return whether a setting keeps its current value in a rollback that does not name it. It is pure."""
    return ":" in path or is_secret(path) or _covered(_NAMED_STORE.sub(f"{ALONE}.", path), KEPT)


def target(now: Leaves, then: Leaves, named: Collection[str] = ()) -> dict[str, object]:
    """Return the configuration to go to, made of the present one and an earlier one. It is pure."""
    known = {_store(path) for path in then}

    def is_kept(path: str) -> bool:
        # The media may lie in a store that came later: what a rollback changes is which one serves.
        came_later = bool(_store(path)) and _store(path) not in known
        return (came_later or stays(path)) and not _covered(path, named)

    kept = {path: value for path, value in now.items() if is_kept(path)}
    back = {path: value for path, value in then.items() if not stays(path) or _covered(path, named)}
    return {**kept, **back}


def _store(path: str) -> str:
    """Return which store a setting is of: its own setting in the stack's file, or an empty text for other settings."""
    found = _NAMED_STORE.match(f"{path}.")
    return found[0].rstrip(".") if found else ALONE if path.startswith(f"{ALONE}.") else ""


def _covered(path: str, named: Collection[str]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in named)


def chosen(found: Sequence[Update], number: int) -> Update:
    """Return the update of that number. Raises OperationError where there is none to go back to. It is pure."""
    update = next((one for one in found if one.number == number), None)
    if update is None:
        raise OperationError(f"there is no update {number} -- `media-store history` lists them")
    if update.kind == "destroy":
        raise OperationError(f"update {number} destroyed the stack -- `pulumi destroy` does that again")
    return update


def write_target(stack: automation.Stack, file: Path, now: Leaves, wanted: Leaves, secure: Collection[str]) -> None:
    """Bring a configuration file from `now` to `wanted`, comments and all else kept. Raises OperationError.

    A list that differs is written anew, and a section without any setting left goes.
    """
    changed = {_whole(path) for path in {*now, *wanted} if now.get(path) != wanted.get(path)}
    left = {_section(path) for path in wanted}
    for path in sorted({_section(whole) for whole in changed} - left):
        edit_config(stack, file, "rm", path)
    for whole in sorted(whole for whole in changed if _section(whole) in left):
        if any(_whole(path) == whole for path in now):
            edit_config(stack, file, "rm", "--path", whole)
        for path, value in wanted.items():
            if _whole(path) == whole:
                edit_config(stack, file, "set", "--path", *_form(path, value, secure), path, value=_text(value))
    written = leaves(read_config(stack, file))
    if written != dict(wanted):
        names = ", ".join(sorted(path for path in {*written, *wanted} if written.get(path) != wanted.get(path)))
        raise OperationError(f"the configuration could not be written as it was then ({names}); nothing was changed")


def _whole(path: str) -> str:
    """Return the path of a setting, or of the list that a value is in."""
    return path.partition("[")[0]


def _section(path: str) -> str:
    """Return the name of the whole entry in the stack's file that a setting is in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _form(path: str, value: object, secure: Collection[str]) -> list[str]:
    """Return the options by which `pulumi config set` stores a value as what it is.

    Without them it takes `5` for a number, and random letters for a secret.
    """
    if is_secret(path) or path in secure:
        return ["--secret"]
    if isinstance(value, str):
        return ["--type", "string"] if re.fullmatch(r"-?\d+|true|false", value) else ["--plaintext"]
    return ["--type", {bool: "bool", int: "int"}.get(type(value), "float")]


def rollback(
    stack: automation.Stack, number: int, named: Collection[str], agreed: Callable[[], bool], say: Callable[[str], None]
) -> bool:
    """Preview, ask and apply; return whether it was agreed to. Raises OperationError where it cannot be done."""
    secure = encrypted(config_file(stack.name).read_bytes())
    update = chosen(updates(stack), number)
    now = leaves({key: plain(value) for key, value in stack.get_all_config().items()})
    wanted = target(now, update.config, named)
    say(f"update {update.number} of {update.started:%Y-%m-%d %H:%M:%S} ({update.phase}, {update.result})")
    lines = changes(now, wanted, secure)
    for line in lines or ["the configuration is the same as now"]:
        say(f"  {line}")
    return changed.apply(stack, lambda new: write_target(stack, new, now, wanted, secure), agreed, say)
