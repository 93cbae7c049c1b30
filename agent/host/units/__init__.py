"""This package has unit files of systemd, as templates beside this module."""

from __future__ import annotations

import pkgutil
import re
import string


def render(template: str, **values: str) -> bytes:
    """Return the text of a unit file; `%` in a value is escaped, since systemd would expand it.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html
    """
    data = pkgutil.get_data(__package__, template)
    assert data is not None
    return string.Template(data.decode()).substitute({k: v.replace("%", "%%") for k, v in values.items()}).encode()


def quote(argument: str) -> str:
    """Return an argument for ExecStart in quotes where it needs them: systemd expands `$` and splits at blanks.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html
    """
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if argument == "" or set(argument) & set(" \t\"'\\;$") else argument


def quote_value(value: str) -> str:
    """Return a value for EnvironmentFile in quotes where it needs them: systemd strips blanks, quotes and backslashes.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#EnvironmentFile=
    """
    if re.fullmatch(r"[\w+/=.,:@-]*", value):
        return value
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'
