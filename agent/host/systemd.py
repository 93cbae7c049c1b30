"""This module asks and changes systemd's units.

https://www.freedesktop.org/software/systemd/man/latest/systemctl.html
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

from .processes import Processes

#: Seconds that a step may take to stop or start units before it is called a failure.
SERVICE_TIMEOUT_SECONDS = 300
#: States in which a unit may still work; one that is stopping is waited for like the others.
RUNNING = ("active", "activating", "reloading", "deactivating")


class Systemd(Processes):
    """This class asks and changes the units of this server."""

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run `systemctl`, and return its standard output. Raises what `run` does."""
        return self.run(["systemctl", *arguments], timeout=SERVICE_TIMEOUT_SECONDS, check=check)

    def is_active(self, unit: str) -> bool:
        """Return whether systemd says that the unit is active."""
        return self.succeeds(["systemctl", "is-active", "--quiet", unit])

    def units(self, patterns: Sequence[str]) -> dict[str, str]:
        """Return the active state of each loaded unit that matches one of the patterns, by its name."""
        listing = self.run(
            ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "--no-pager", *patterns]
        )
        found = {}
        for line in listing.splitlines():
            unit, load, active = line.split()[:3]
            if load == "loaded":
                found[unit] = active
        return found

    def queued(self, patterns: Sequence[str]) -> set[str]:
        """Return the units that match one of the patterns and wait for others before they start."""
        jobs = self.run(["systemctl", "list-jobs", "--plain", "--no-legend", "--no-pager"])
        waiting = {words[1] for words in map(str.split, jobs.splitlines()) if words[2:3] == ["start"]}
        return {unit for unit in waiting if any(fnmatch(unit, pattern) for pattern in patterns)}

    def stop(self, units: Sequence[str], timeout: float = SERVICE_TIMEOUT_SECONDS) -> None:
        """Stop units together, and return once they are down.

        Raises subprocess.TimeoutExpired where they take longer than `timeout` seconds, and CommandFailed.
        """
        if units:
            self.run(["systemctl", "stop", *units], timeout=timeout)

    def start(self, units: Sequence[str], wait: bool = True, timeout: float = SERVICE_TIMEOUT_SECONDS) -> None:
        """Start units together, and with `wait` return once they run.

        Raises subprocess.TimeoutExpired where they take longer than `timeout` seconds, and CommandFailed.
        """
        if units:
            self.run(["systemctl", "start", *([] if wait else ["--no-block"]), *units], timeout=timeout)
