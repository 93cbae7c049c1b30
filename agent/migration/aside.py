"""This module names the folders beside the media store: local copies in the making, and what was set aside.

They lie in a folder that belongs to the homeserver's user, so each is root's own, and opened as such.
"""

from __future__ import annotations

import time
from pathlib import Path

from ..host.beneath import Folder
from ..state.run import Run, Server


def incomplete_path(server: Server) -> Path:
    """Return the path where a local copy is filled again, after `clean`."""
    return server.backup_path.with_name(server.backup_path.name + ".incomplete")


def removing_path(server: Server) -> Path:
    """Return the path where a local copy lies that `clean` is removing."""
    return server.backup_path.with_name(server.backup_path.name + ".removing")


def incoming_path(root: Path) -> Path:
    """Return the path where files arrive before they are moved into the local copy at `root`."""
    return root.with_name(root.name + ".incoming")


def parent_of_store(server: Server) -> Folder:
    """Open the folder that the media store is in."""
    return Folder.at(server.store_path.parent)


def dated_folder(run: Run, kind: str) -> Folder:
    """Open a folder beside the store for this run and `kind`, root's own; it is made where there is none.

    Raises `Problem` where its name is taken.
    """
    name = run.server.store_path.name
    with parent_of_store(run.server) as parent:
        when = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started))
        return parent.work_folder(f"{name}-{kind}-{when}")


def keep(folder: Folder, path: str, aside: Folder) -> None:
    """Move a file of `folder` to the same path in `aside`, a folder of root's."""
    _make_room(path, aside)
    folder.move(path, aside, path)


def keep_linked(folder: Folder, path: str, aside: Folder) -> None:
    """Give a file of `folder` a further name in `aside`, at the same path; one that is there stays."""
    _make_room(path, aside)
    if aside.find(path) is None:
        folder.link(path, aside, path)


def _make_room(path: str, aside: Folder) -> None:
    above, _, _ = path.rpartition("/")
    if above:
        info = aside.metadata()
        aside.make(above, (info.st_uid, info.st_gid), 0o700)
