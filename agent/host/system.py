"""This module is the thin layer that executes; everything else decides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..model.items import View
from . import open_files
from .control_groups import ControlGroups
from .mounts import Mounts
from .open_files import Place
from .systemd import Systemd
from .views import blind, views


class System(Systemd, Mounts, ControlGroups):
    """This class is this server: its processes, units, control groups and mounts."""

    def open_for_writing(self, folder: Path) -> list[str]:
        """Return a line for each file below the folder that a process has open for writing: who, and which file."""
        return [f"{each.program} (process {each.process}): {each.file!r}" for each in open_files.writers(folder)]

    def views(self, folder: Path, but_for: Sequence[Path] = ()) -> list[View]:
        """Return the mount namespaces in which the folder can be written to, but for this process's own.

        What is mounted at the paths `but_for` is not counted.
        """
        place = open_files.place_of(folder)
        beneath = [
            Place(above.device, f"{above.path.rstrip('/')}/{path.name}")
            for path in but_for
            if (above := open_files.place_of(path.parent))
        ]
        return views(place, beneath) if place else []

    def blind(self, seen: Sequence[View], folder: Path) -> list[View]:
        """Return those of these views in which what is mounted at the folder by now is not seen."""
        place = open_files.place_of(folder)
        return blind(seen, place) if place else [*seen]
