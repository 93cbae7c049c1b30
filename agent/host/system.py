"""This module is the thin layer that executes; everything else decides."""

from __future__ import annotations

from pathlib import Path

from . import open_files
from .mounts import Mounts
from .systemd import Systemd


class System(Systemd, Mounts):
    """This class is this server: its processes, units and mounts."""

    def open_for_writing(self, folder: Path) -> list[str]:
        """Return a line for each file below the folder that a process has open for writing: who, and which file."""
        return [f"{each.program} (process {each.process}): {each.file!r}" for each in open_files.writers(folder)]
