"""This module makes the agent's version of its content, so that an agent that differs has another one. It is pure."""

from __future__ import annotations

#: Hexadecimal digits of the zipapp's SHA-256 that name the agent's version.
VERSION_DIGITS = 12


def version(sha256: str) -> str:
    """Return the agent's version by the SHA-256 of its zipapp, in hexadecimal digits; it is empty for an empty sum."""
    return sha256[:VERSION_DIGITS]
