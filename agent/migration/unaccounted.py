"""This module is for files of which it is not known what shall become: an administrator must say so."""

from __future__ import annotations

from typing import NoReturn

from ..host.files import write_atomic
from ..model.errors import Problem
from ..state.run import Run


def unconfirmed(run: Run, names: list[str]) -> list[str]:
    """Return those of the names that migration.confirmed does not have."""
    confirmed = set(run.settings.migration.confirmed)
    return [name for name in names if name not in confirmed]


def refuse(run: Run, names: list[str], state: str) -> NoReturn:
    """List all names in a file, and raise `Problem` with the first name and how things stand."""
    report = run.layout.var / "unresolved.txt"
    write_atomic(report, ("\n".join(names) + "\n").encode())
    raise Problem(
        f"{len(names):,} files of the local copy are not in the bucket with the same content, {names[0]!r} among them; "
        f"{state}",
        f"the whole list is in {report}: look at them, copy into the media store what it lacks, and name in "
        "migration.confirmed those that may go",
    )
