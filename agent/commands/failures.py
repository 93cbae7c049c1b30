"""This module says how failures of the world outside are told."""

from __future__ import annotations

import http.client
import sqlite3
import subprocess

from ..model.errors import CommandFailed, StoreError

#: Failures of the world outside, told in one line; anything else is a defect and keeps its traceback.
EXPECTED = (
    StoreError,
    CommandFailed,
    OSError,
    http.client.HTTPException,
    subprocess.TimeoutExpired,
    sqlite3.Error,
)


def one_line(error: BaseException) -> str:
    """Return the error's kind and text in one line of at most 2,000 characters."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:2000]
