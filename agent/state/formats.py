"""This module knows the journal's formats: the present one, which has a number, and the first one. It is pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from ..host.files import damaged
from ..model.errors import unknown_format
from ..model.phases import Owed, Phase, Side, Stage, Window, Word, after_crash, unknown_state
from .records import Installed, LocalStore, OpenWindow

#: The format that this agent writes. In the second, the local copy was known by its inode alone.
FORMAT = 3

W = TypeVar("W", bound=Word)


def written(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the journal's fields as they are written, with the number of the format."""
    return {"format": FORMAT, **fields}


def read(path: Path, document: Any) -> dict[str, Any]:
    """Return the fields of the journal that the document in the file at `path` has, in this format or an earlier one.

    Raises `Problem` where it is damaged, of a later format, or says what this agent does not know.
    """
    try:
        found = document.get("format", 1)
        if found not in range(1, FORMAT + 1):
            raise unknown_format(f"{path} has", found, FORMAT)
        if found == 1:
            from .first_format import converted  # seldom needed, and a mount may wait for this process

            document = converted(document)
        return _fields(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    window, store = document["window"], document["local_store"]
    fields = {
        "phase": word(Phase, document["phase"]),
        "serving": word(Side, document["serving"]),
        "window": None if window is None else _window(window),
        "generation": int(document["generation"]),
        "base": str(document["base"]),
        "owed": {word(Owed, each) for each in document["owed"]},
        "local_store": None if store is None else LocalStore(**store),
        "installed": Installed(**document["installed"]),
        "stopped": tuple(document["stopped"]),
        "last": dict(document["last"]),
        "history": list(document["history"]),
        "kinds": dict(document["kinds"]),
        "checked": document["checked"],
        "epoch": int(document.get("epoch", 0)),
        "earlier_unit": str(document.get("earlier_unit", "")),
    }
    if fields["window"] is None and fields["serving"] is Side.NOBODY:
        raise unknown_state("nobody serves, and no window is open")
    return fields


def _window(window: dict[str, Any]) -> OpenWindow:
    found = OpenWindow(word(Window, window["name"]), word(Stage, window["stage"]), tuple(window["units"]))
    after_crash(found.name, found.stage)  # refuses a pair that does not exist
    return found


def word(kind: type[W], text: Any) -> W:
    """Return the member of the enumeration `kind` that a text names. Raises `Problem` where there is none."""
    try:
        return kind(text)
    except ValueError:
        raise unknown_state(str(text)) from None
