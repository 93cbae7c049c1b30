"""This module says which mount namespaces see a folder, and by which paths: those of containers, and of some services.

https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..model.items import View
from . import fuse
from .control_groups import group_of
from .mounts import mounts_of
from .open_files import PROC, Place, place_in, seen_as


def views(place: Place, but_for: Sequence[Place] = ()) -> list[View]:
    """Return the views of a folder in other namespaces than this process's; one for each, and each control group.

    What is mounted over the folders `but_for` is not counted: these are this program's own.
    """
    serving: set[str] = set()
    found: dict[tuple[str, str], View] = {}
    paths: dict[str, tuple[str, ...]] = {}
    own, top = os.readlink(PROC / "self/ns/mnt"), os.stat("/")
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended
            namespace = os.readlink(process / "ns/mnt")
            if namespace == own:
                continue
            if namespace not in paths:
                writable = [mount for mount in mounts_of(process.name) if mount.writable]
                ours = {path for each in but_for for path in seen_as(each, writable)}
                paths[namespace] = tuple(path for path in seen_as(place, writable) if path not in ours)
            group = group_of(process.name)
            if paths[namespace] and fuse.serves(process):
                serving.add(group)
            if paths[namespace] and (namespace, group) not in found:
                root = os.stat(process / "root")
                contained = (root.st_dev, root.st_ino) != (top.st_dev, top.st_ino)
                found[namespace, group] = View(process.name, group, paths[namespace], contained)
    return [view._replace(serves=view.group in serving) for view in found.values()]


def blind(seen: Sequence[View], place: Place) -> list[View]:
    """Return those of the views in which a path does not lead to the place where the folder is now.

    One whose process ended shows nothing, and counts among them.
    """

    def is_blind(view: View) -> bool:
        try:
            mounts = mounts_of(view.process)
        except OSError:
            return True
        return any(place_in(path, mounts) != place for path in view.paths)

    return [view for view in seen if is_blind(view)]
