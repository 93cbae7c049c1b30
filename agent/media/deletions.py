"""This module says how many deletions are believed at once. It is pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.errors import Problem

#: Up to this many deletions need no confirmation, if they are no more than half of the known files.
FEW = 20


def allowed_deletions(known: int, percent: float) -> int:
    """Return how many of `known` files may be gone without confirmation; `percent` is the limit of the setting."""
    return max(int(known * percent / 100), min(FEW, known // 2))


def check_deletions(percent: float, known: int, gone: Sequence[str], where: str) -> None:
    """Raise `Problem` where more of the `known` files are `gone` from `where` than the limit of `percent` allows."""
    limit = allowed_deletions(known, percent)
    if len(gone) > limit:
        raise Problem(
            f"{len(gone):,} of {known:,} known files are gone from {where}, more than the limit of {limit:,}",
            "look why; if that is right, set migration.deletionLimitPercent higher for one run",
        )
