"""This module names the services that write media, and stops them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ..host.systemd import RUNNING
from ..model.errors import Problem
from ..state.run import Server
from . import provider

#: What writes media on a server set up by matrix-docker-ansible-deploy.
WRITERS = (
    "matrix-synapse.service",
    "matrix-synapse-worker-*.service",
    *provider.UNITS,
)


def patterns(server: Server) -> Sequence[str]:
    """Return the names of the units that write media; each may have `*`."""
    return server.settings.host.services or WRITERS


def running(server: Server) -> list[str]:
    """Return the units that write media and run now: these are stopped, and exactly these started again."""
    found = server.system.units(patterns(server))
    return sorted(unit for unit, active in found.items() if active in RUNNING)


def required(server: Server) -> list[str]:
    """Return the units that write media and run now. Raises `Problem` where none does: nothing could be proven then."""
    units = running(server)
    if not units:
        raise Problem(
            f"none of the services runs that write media ({', '.join(patterns(server))})",
            "start the homeserver, or name its units in host.services",
        )
    return units


def stop(server: Server, units: Sequence[str]) -> None:
    """Stop units within host.stopSeconds. Raises `Problem` where some do not stop in time.

    These are killed then, since only so they can be started again.
    """
    patience = server.settings.host.stop_seconds
    try:
        server.system.stop(units, patience)
    except subprocess.TimeoutExpired:
        stuck = [unit for unit in running(server) if unit in units]
        server.system.systemctl("kill", "--signal=SIGKILL", *stuck, check=False)
        raise Problem(
            f"{', '.join(stuck)} did not stop within {patience} s, and was killed and started again",
            "look why in its journal, or give it more time with host.stopSeconds; then run pulumi up again",
        ) from None
