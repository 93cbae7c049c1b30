"""This module is the thin layer that executes; everything else decides."""

from __future__ import annotations

from .mounts import Mounts
from .systemd import Systemd


class System(Systemd, Mounts):
    """This class is this server: its processes, units and mounts."""
