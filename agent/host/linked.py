"""This module opens a media store of which folders lie on another disk, with links to them at its top.

People short of disk have such links. What a link leads to is opened by a path of its own, part by part as any other,
and only where it may be followed: the link is root's, or of whoever owns the folder at its end, as is each one on the
way (`beneath.target_of`). So whoever may lay links gets nothing done that he could not do himself.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from .beneath import Folder, target_of

#: What a link says, and its user and group by number.
Link = tuple[str, int, int]


class Store(Folder):
    """A `Store` is the open folder of a media store, or of a local copy; links at its top lead to further folders.

    `links` has these folders' paths by the links' names. All that is done to a path below such a name is done there.
    """

    links: dict[str, Path]

    def __init__(self, number: int, path: Path) -> None:
        """Take over the open file descriptor `number`, and look which links may be followed."""
        super().__init__(number, path)
        self.links = {}
        for name in self.names():
            with contextlib.suppress(OSError):
                if stat.S_ISLNK(os.stat(name, dir_fd=number, follow_symlinks=False).st_mode):
                    target = target_of(path / name)
                    with Folder.at(target) as found:
                        if target != path / name and found.metadata().st_uid != 0:
                            self.links[name] = target

    def folder(self, path: str) -> Folder:
        """Open a folder below this one, as `Folder.folder` does."""
        top, _, rest = path.partition("/")
        if top not in self.links:
            return super().folder(path)
        target = Folder.at(self.links[top])
        if not rest:
            return target
        with target:
            return target.folder(rest)

    def metadata(self, path: str = "") -> os.stat_result:
        """Return the metadata of what has that name, as `Folder.metadata` does; a followed link's is its folder's."""
        if path not in self.links:
            return super().metadata(path)
        with self.folder(path) as target:
            return target.metadata()

    def device_of(self, path: str) -> int:
        """Return the device of the file system on which what has that name should be."""
        top = path.partition("/")[0]
        return self.metadata(top if top in self.links else "").st_dev

    def described(self) -> dict[str, Link]:
        """Return what each followed link says and whose it is, by its name."""
        found = {}
        for name in self.links:
            info = os.stat(name, dir_fd=self.number, follow_symlinks=False)
            found[name] = (os.readlink(name, dir_fd=self.number), info.st_uid, info.st_gid)
        return found

    def take_links_away(self) -> None:
        """Remove the followed links themselves; what they lead to stays."""
        for name in self.links:
            os.unlink(name, dir_fd=self.number)
        self.links = {}
        self.sync()

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        top, _, rest = path.partition("/")
        if not rest or top not in self.links:
            with super()._parent(path) as found:
                yield found
            return
        with Folder.at(self.links[top]) as target, target._parent(rest) as found:
            yield found


def lay_links(store: Folder, links: Mapping[str, Link]) -> None:
    """Lay links at the top of a store, where nothing has their names."""
    for name, (text, uid, gid) in links.items():
        with contextlib.suppress(FileExistsError):
            os.symlink(text, name, dir_fd=store.number)
            os.chown(name, uid, gid, dir_fd=store.number, follow_symlinks=False)
    store.sync()
