"""This module names the services that write media, and stops them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..host.linked import Store
from ..host.systemd import RUNNING
from ..model.errors import Problem
from ..state.run import Server
from . import provider, store_in_use

#: Seconds for which a process may still write once its unit is stopped.
PATIENCE_SECONDS = 10.0
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


def check_none_writes(server: Server, seconds: float = 0) -> None:
    """Raise `Problem` where a process can write into the media store still, `seconds` from now: it has a file of it
    open, or is a Synapse that uses it.

    That a unit is stopped does not say that its process is gone.
    """
    found: list[str] = []
    synapses: list[str] = []

    def nobody() -> bool:
        nonlocal found, synapses
        found = open_files(server)
        synapses = store_in_use.running(server)
        return not found and not synapses

    if server.system.wait_until(nobody, seconds):
        return
    if synapses:
        raise Problem(
            f"Synapse (process {synapses[0]}) runs and uses the media store, though its services are stopped",
            "end it (a container: docker stop), or name its unit in host.services; then run pulumi up again",
        )
    raise Problem(
        f"{len(found)} files of the media store are open for writing, though its services are stopped: {found[0]}",
        "end that process, or name its unit in host.services; then run pulumi up again",
    )


def open_files(server: Server) -> list[str]:
    """Return a line for each file of the media store that a process has open for writing: who, and which file."""
    return [line for folder in _folders(server) for line in server.system.open_for_writing(folder)]


def _folders(server: Server) -> list[Path]:
    """Return the folders that the media store consists of: its own, and those on another disk behind links."""
    store = server.store_path
    with contextlib.suppress(OSError):
        if not server.system.mounted(store):
            with Store.at(store) as opened:
                return [store, *opened.links.values()]
    return [store]


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
