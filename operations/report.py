"""This module finds the page that the last update of a stack left, see `components.report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from .workspace import ROOT, OperationError

REPORTS = ROOT / "reports"


def newest(stack: str) -> Path:
    """Return the path of the newest page about a stack, by the time in its name. Raises OperationError for none."""
    pages = sorted((REPORTS / stack.rpartition("/")[2]).glob("*.html"))
    if not pages:
        raise OperationError(
            f"no page about {stack} is under reports/ -- `pulumi up` leaves one where it moves something"
        )
    return pages[-1]


def show(page: Path) -> None:
    """Open a page in a browser. Raises OperationError where there is none."""
    if not webbrowser.open(page.as_uri()):
        raise OperationError("no browser was found -- open that file in one")
