"""This module says how the stores of a stack are called, and which of them serves."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from .fields import must, wrong

#: The setting of a store that needs no name, and what `serve` calls it.
ALONE = "store"
StoreName = Annotated[
    str,
    must(
        lambda v: bool(re.fullmatch(r"[a-z][a-z0-9-]{0,30}", v)) and v != ALONE,
        "is not a name of up to 31 small letters, digits and hyphens, other than store",
    ),
]


def needed(value: Any, info: ValidationInfo) -> Any:
    """Return the store without a name. Raises an error where the stack has none at all."""
    if value is None and not info.data.get("stores", True):
        raise PydanticCustomError("missing", "is missing")
    return value


def known(value: str, info: ValidationInfo) -> str:
    """Return which store serves: as it says, or the only one there is. Raises an error where there is no such."""
    if "stores" not in info.data or "only_store" not in info.data:
        return value  # told already
    names = [*([ALONE] if info.data["only_store"] else []), *info.data["stores"]]
    if not value and len(names) > 1 and names[0] != ALONE:
        raise wrong(f"is missing, and the stack has the stores {', '.join(names)}")
    if value and value not in names:
        raise wrong(f"is {value}, and the stack has {', '.join(names)}")
    return value or names[0]


def place_of(name: str) -> str:
    """Return which setting of the stack a store is, by its name; one without is `store`."""
    return f"stores.{name}" if name else ALONE
