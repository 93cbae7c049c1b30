"""This module names the folders beside the media store: local copies in the making, and what was set aside.

They lie in a folder that belongs to the homeserver's user, so each is root's own, and opened as such.
"""

from __future__ import annotations

import time
from pathlib import Path

from ..host.beneath import Folder
from ..model.layout import RESERVED
from ..state.run import Run, Server


def incoming_path(server: Server, root: Path) -> Path:
    """Return the path where files arrive before they are moved into the local copy at `root`, on its disk."""
    return root / f"{RESERVED}.incoming" if server.system.has_disk(root) else root.with_name(f"{root.name}.incoming")


def parent_of_store(server: Server) -> Folder:
    """Open the folder that the media store is in."""
    return Folder.at(server.store_path.parent)


def dated_folder(run: Run, root: Path, kind: str) -> Folder:
    """Open a folder for this run and `kind`, root's own; it is made where there is none.

    It is beside the store, or at the top of the disk that the local copy at `root` is. Raises `Problem` where its name
    is taken.
    """
    place, name = root.parent, run.server.store_path.name
    if run.system.has_disk(root):
        place, name = root, RESERVED
    with Folder.at(place) as folder:
        when = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started))
        return folder.work_folder(f"{name}-{kind}-{when}")


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
