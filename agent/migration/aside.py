"""This module names the folders beside the media store: local copies in the making, and what was set aside.

They lie in a folder that belongs to the homeserver's user, so each is root's own, and opened as such.
"""

from __future__ import annotations

import time
from pathlib import Path

from ..host.beneath import Folder
from ..host.linked import Store
from ..model.layout import RESERVED
from ..state.run import Run, Server


def parent_of_store(server: Server) -> Folder:
    """Open the folder that the media store is in."""
    return Folder.at(server.store_path.parent)


def place_beside(run: Run, root: Store, path: str) -> tuple[Path, str]:
    """Return the folder for what is made or set aside of a file of `root`, and how names there begin.

    That is beside the store, or where the file is on another disk than that, at the top there.
    """
    top = path.partition("/")[0]
    if top in root.links:
        return root.links[top], RESERVED
    return (root.path, RESERVED) if run.system.has_disk(root.path) else (root.path.parent, root.path.name)


def _dated_folder(run: Run, root: Store, path: str, kind: str) -> Folder:
    """Open a folder for this run, a file and `kind`, root's own; it is made where there is none.

    Raises `Problem` where its name is taken.
    """
    place, name = place_beside(run, root, path)
    name = name if name == RESERVED else run.server.store_path.name
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started))
    with Folder.at(place) as folder:
        return folder.work_folder(f"{name}-{kind}-{when}")


def keep(run: Run, root: Store, path: str, kind: str) -> Path:
    """Move a file or folder of `root` to the same path in a dated folder; return that one's path."""
    with _dated_folder(run, root, path, kind) as aside:
        _make_room(path, aside)
        root.move(path, aside, path)
        return aside.path


def keep_linked(run: Run, root: Store, path: str, kind: str) -> Path:
    """Give a file of `root` a further name, the same path in a dated folder, and return that one's path.

    One that is there stays.
    """
    with _dated_folder(run, root, path, kind) as aside:
        _make_room(path, aside)
        if aside.find(path) is None:
            root.link(path, aside, path)
        return aside.path


def _make_room(path: str, aside: Folder) -> None:
    above, _, _ = path.rpartition("/")
    if above:
        info = aside.metadata()
        aside.make(above, (info.st_uid, info.st_gid), 0o700)
