"""Unit files, as templates beside this module."""

from __future__ import annotations

import pkgutil
import string


def render(template: str, **values: str) -> bytes:
    """A unit file; `%` in a value is escaped, since systemd expands it."""
    data = pkgutil.get_data(__package__, f"units/{template}")
    assert data is not None
    return string.Template(data.decode()).substitute({k: v.replace("%", "%%") for k, v in values.items()}).encode()


def quote(argument: str) -> str:
    """An argument for ExecStart: systemd would expand `$` and split at blanks."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if argument == "" or set(argument) & set(" \t\"'\\;$") else argument
