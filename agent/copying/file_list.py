"""This module lists the files to be copied, as the copying programs read them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def file_list(folder: Path, paths: Sequence[str], end: str) -> Iterator[IO[str]]:
    """Give an open file without a name that has the paths, each with `end` after it.

    Raises OSError where the disk of `folder` has no room for it.
    """
    with tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8", newline="") as file:
        file.writelines(path + end for path in paths)
        file.seek(0)
        yield file
