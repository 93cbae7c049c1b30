"""This module copies with rsync through the staging mount, as the manual procedure does. It is pure."""

from __future__ import annotations

from pathlib import Path


def rsync_argv(source: Path, target: Path, names: Path, bandwidth: str = "") -> list[str]:
    """Return the manual procedure's command, which copies the files named in the file `names`.

    It writes in place: a rename through the mount would be PUT, COPY and DELETE at the store.
    """
    return [
        "rsync", "--recursive", "--inplace", "--whole-file", "--ignore-times", "--from0",
        *([f"--bwlimit={bandwidth}"] if bandwidth else []),
        f"--files-from={names}", f"{source}/", f"{target}/",
    ]  # fmt: skip
