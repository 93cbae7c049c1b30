"""This module downloads files that are known by their content before they are used."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path

from ..model.errors import Problem
from .files import write_atomic


def fetch(what: str, url: str, sha256: str, target: Path) -> bool:
    """Put the file of that SHA-256 at `target`, executable, and return whether it was not there yet.

    `what` names it in errors as its settings do: `goofys` for mount.goofysUrl. Raises `Problem` where it cannot be had,
    or is another file.
    """
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        return False
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            data = answer.read()
    except OSError as error:
        raise Problem(
            f"{what} cannot be had from {url}: {error}",
            f"make that address reachable from the server, or set mount.{what}Url to file:///path on the server",
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise Problem(
            f"{what} from {url} has SHA-256 {found}, not {sha256}",
            f"check the download; set mount.{what}Sha256 only to the sum of a file you trust",
        )
    return write_atomic(target, data, 0o755)
