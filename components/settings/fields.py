"""This module says what a setting is made of: a value, what it means, and what to do where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


def setting(default: Any, description: str, fix: str, **more: Any) -> Any:
    """Return a field with what it means, and what to do where its value is wrong."""
    return Field(default, description=description, json_schema_extra={"fix": fix}, **more)


def wrong(complaint: str) -> PydanticCustomError:
    """Return the error to raise for a value; `complaint` says what the value is or is not."""
    return PydanticCustomError("setting", complaint.replace("{", "{{").replace("}", "}}"))


def must(test: Callable[[str], bool], complaint: str) -> AfterValidator:
    """Return a check that a value passes `test`; where it does not, `complaint` says what it is or is not."""

    def check(value: str) -> str:
        if not test(value):
            raise wrong(complaint)
        return value

    return AfterValidator(check)


def _is_url(value: str) -> bool:
    url = urlsplit(value)
    return url.scheme in ("http", "https") and bool(url.hostname) and not url.path.strip("/") and not url.query


def _is_folder(value: str) -> bool:
    return value.startswith("/") and "\n" not in value and value.rstrip("/") == value and "/../" not in f"{value}/"


_NO_URL = "is not an address like https://host or https://host:port"
Url = Annotated[str, must(_is_url, _NO_URL)]
#: An address as in `Url`, or an empty text.
OptionalUrl = Annotated[str, must(lambda v: not v or _is_url(v), _NO_URL)]
_NO_FOLDER = "is not an absolute path without a slash at its end"
Folder = Annotated[str, must(_is_folder, _NO_FOLDER)]
#: A path as in `Folder`, or an empty text.
OptionalFolder = Annotated[str, must(lambda v: not v or _is_folder(v), _NO_FOLDER)]
Bucket = Annotated[
    str,
    must(lambda v: bool(re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", v)), "is not a valid bucket name"),
]
Unit = Annotated[
    str,
    must(
        lambda v: bool(re.fullmatch(r"[\w@.:-]+?([-@]\*)?\.(service|timer)", v)),
        "is not the name of a service or timer (`*` only as `-*` or `@*` at the end of the name)",
    ),
]

#: Characters that a list of paths may have together: it travels in a command line, which Linux limits to 128 KiB.
LONGEST_LIST = 60_000


def fits(values: list[str]) -> list[str]:
    """Return the values. Raises PydanticCustomError where they are too long for a command line together."""
    if sum(map(len, values)) > LONGEST_LIST:
        raise wrong(f"is longer than {LONGEST_LIST:,} characters together")
    return values


class Section(BaseModel):
    """A `Section` is a part of a stack's configuration; what it does not know is an error."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, frozen=True, hide_input_in_errors=True,
        coerce_numbers_to_str=True,  # `pulumi config set --path` takes 2026 for a number
    )  # fmt: skip
