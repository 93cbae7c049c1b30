"""This module makes MD5 sums, which S3 states for contents; they protect nothing, as hosts in FIPS mode are told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def new_md5(data: bytes = b"") -> _Hash:
    """Return an MD5 sum to which more may be added, as hashlib makes it. https://docs.python.org/3/library/hashlib.html"""
    return hashlib.md5(data, usedforsecurity=False)
