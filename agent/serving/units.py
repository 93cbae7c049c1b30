"""This module makes the files that serving takes: our units, the guard's drop-ins, credentials.

It is pure but for the folders that they name.
"""

from __future__ import annotations

from pathlib import Path

from ..host.units import quote, render
from ..model.layout import (
    DROP_IN,
    METRICS_TIMER,
    METRICS_UNIT,
    MOUNT_UNIT,
    PLAYBOOK_UNIT,
    RECOVER_TIMER,
    RECOVER_UNIT,
    STAGING_UNIT,
    THAW_TIMER,
    THAW_UNIT,
    WATCHDOG_UNIT,
    Layout,
)
from ..state.journal import Journal
from ..state.records import Owner
from ..state.run import Server
from ..store.rclone_conf import rclone_conf
from . import earlier_mount, hold, metrics, playbook, programs, provider, write_cache
from .writers import patterns

#: What walks over all file systems each night, to find files by their names; the distributions call it so.
WALKERS = ("plocate-updatedb.service", "mlocate-updatedb.service", "mlocate.service", "updatedb.service")


def _parent(server: Server) -> str:
    return quote(str(server.store_path.parent))


def mount_unit(
    server: Server,
    owner: Owner,
    where: Path,
    program_at: Path,
    description: str,
    condition: str = "",
    serves: bool = False,
) -> bytes:
    """Return the text of the unit that mounts the bucket at `where`; `condition` is a further line of it.

    Its program mounts at `program_at`: elsewhere first where `where` lies in a folder of somebody else's. `serves` says
    that it is the media store's, and not the one at the staging path.
    """
    settings, layout = server.settings, server.layout
    return render(
        "mount.service",
        description=description,
        credentials=str(layout.credentials),
        command=programs.command(server, program_at, owner.uid, owner.gid, serves),
        where=quote(str(where)),
        agent=str(layout.agent),
        memory=settings.mount.memory_max,
        condition=condition,
        parent=" ".join([_parent(server), *write_cache.disks(server)]) if serves else _parent(server),
        cache="".join(f"\n{line}" for line in write_cache.unit_lines(server)) if serves else "",
    )


def unit_files(server: Server, owner: Owner) -> dict[str, bytes]:
    """Return the texts of our own units by name."""
    layout, parent, staging = server.layout, _parent(server), server.layout.staging
    services = " ".join(name for name in patterns(server) if "*" not in name and name.endswith(".service"))
    return {
        STAGING_UNIT: mount_unit(server, owner, staging, staging, "Matrix media store's bucket, at the staging path"),
        MOUNT_UNIT: mount_unit(
            server,
            owner,
            server.store_path,
            layout.mounting,
            "Matrix media store, from its bucket",
            # There as long as the playbook's mount serves in the place of ours.
            condition=f"ConditionPathExists=!{layout.gave_way}",
            serves=True,
        ),
        RECOVER_UNIT: render("recover.service", agent=str(layout.agent), before=services, parent=parent),
        RECOVER_TIMER: render("recover.timer"),
        THAW_UNIT: render("thaw.service", agent=str(layout.agent)),
        THAW_TIMER: render("thaw.timer", seconds=str(hold.HELD_SECONDS)),
        WATCHDOG_UNIT: render("watchdog.service", agent=str(layout.agent), parent=parent),
        **(_metrics_units(layout) if metrics.wanted(server) else {}),
    }


def _metrics_units(layout: Layout) -> dict[str, bytes]:
    return {
        METRICS_UNIT: render("metrics.service", agent=str(layout.agent)),
        METRICS_TIMER: render("metrics.timer"),
    }


def _drop_in_folders(server: Server) -> list[Path]:
    """Return the folders for the guard's drop-ins, one for each service that writes media.

    The folder `name-.service.d` is for all services `name-*.service`:
    https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html
    """
    folders = []
    for pattern in patterns(server):
        name, dot, kind = pattern.rpartition(".")
        if kind == "service":
            folders.append(server.layout.units / f"{name.rstrip('*')}{dot}{kind}.d")
    return folders


def guard_files(server: Server, journal: Journal) -> dict[Path, bytes]:
    """Return the texts of the guard's drop-ins by path, the one for another mount of the bucket too.

    They take effect at each service's next start.
    """
    agent, parent = str(server.layout.agent), _parent(server)
    text = render("guard.conf", agent=agent, parent=parent)
    files = {folder / DROP_IN: text for folder in _drop_in_folders(server)}
    hidden = [f'"-{path}"' for path in (server.store_path, server.layout.staging, server.layout.mounting)]
    for walker in WALKERS:
        files[server.layout.drop_in(walker)] = render("walker.conf", paths=" ".join(hidden))
    # In the place of the guard: it may not even wait for the bucket.
    files[server.layout.drop_in(provider.UNITS[1])] = render("provider.conf", agent=agent)
    if journal.earlier_unit:
        unit = journal.earlier_unit
        files[server.layout.drop_in(unit)] = earlier_mount.drop_in(server.layout, unit)
    if playbook.may_mount(server):
        files[server.layout.drop_in(PLAYBOOK_UNIT)] = render("playbook.conf", agent=agent, parent=parent)
    return files


def planned_files(server: Server, journal: Journal) -> dict[Path, tuple[bytes, int]]:
    """Return all files that an update lays, with text and mode by path, but for programs."""
    layout, store = server.layout, server.settings.store
    return {
        layout.rclone_conf: (rclone_conf(store).encode(), 0o600),
        layout.credentials: (programs.environment(store).encode(), 0o600),
        **{layout.units / name: (text, 0o644) for name, text in unit_files(server, journal.owner).items()},
        **{path: (text, 0o644) for path, text in guard_files(server, journal).items()},
    }


def files_of_the_mount(server: Server) -> set[Path]:
    """Return the files a running mount of ours was started with: where one changes, it must be mounted anew."""
    layout = server.layout
    its_own = {layout.rclone_conf} if server.settings.mount.program == "rclone" else set()
    return {layout.credentials, layout.units / MOUNT_UNIT, server.mount_program} | its_own
