"""Files of the local copy of which it is not known what shall become: an administrator must say so."""

from __future__ import annotations

from typing import NoReturn

from .context import Context
from .errors import Problem
from .files import write_atomic


def refuse(context: Context, names: list[str], state: str) -> NoReturn:
    """`Problem` with the first name and how things stand; all of them are listed in a file."""
    report = context.places.var / "unresolved.txt"
    write_atomic(report, ("\n".join(names) + "\n").encode())
    raise Problem(
        f"{len(names):,} files of the local copy are not in the bucket with the same content, {names[0]!r} among them; "
        f"{state}",
        f"the whole list is in {report}: look at them, copy into the media store what it lacks, and name in "
        "migration.confirmed those that may go",
    )
