"""This module copies with rsync through the staging mount, as the manual procedure does. It is pure."""

from __future__ import annotations

from pathlib import Path


def rsync_argv(source: Path, target: Path, bandwidth: str = "") -> list[str]:
    """Return the manual procedure's command, which copies the files named on its standard input.

    It writes in place: a rename through the mount would be PUT, COPY and DELETE at the store.
    """
    return [
        "rsync", "--recursive", "--inplace", "--whole-file", "--ignore-times", "--from0",
        *([f"--bwlimit={bandwidth}"] if bandwidth else []),
        "--files-from=-", f"{source}/", f"{target}/",
    ]  # fmt: skip
