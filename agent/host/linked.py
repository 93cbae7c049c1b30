"""This module opens a media store of which folders lie on another disk, with links to them at its top.

People short of disk have such links. One is followed only where it is root's: the homeserver's user, who may lay
others, may see less of the server than root does (from a container), and must not have root follow him out of that.
What a link leads to is opened by a path of its own, part by part as any other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from .beneath import Folder

#: How a link itself is opened, so that what it says and whose it is are those of one and the same.
_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Store(Folder):
    """A `Store` is the open folder of a media store, or of a local copy; links at its top lead to further folders.

    `links` has these folders' paths by the links' names, and `texts` what the links say. All that is done to a path
    below such a name is done there.
    """

    links: dict[str, Path]
    texts: dict[str, str]

    def __init__(self, number: int, path: Path) -> None:
        """Take over the open file descriptor `number`, and look which links may be followed."""
        super().__init__(number, path)
        self.links, self.texts = {}, {}
        self._found: dict[str, tuple[int, int]] = {}
        for name in self.names():
            with contextlib.suppress(OSError):
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        link = os.open(name, _LINK, dir_fd=self.number)
        try:
            info = os.fstat(link)
            if not stat.S_ISLNK(info.st_mode) or info.st_uid != 0:
                return
            text = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        target = Path(os.path.normpath(self.path / text))
        if self.path in (target, *target.parents):
            return  # it leads back into the store
        with Folder.at(target) as folder:
            found = folder.metadata()
        if found.st_uid != 0:
            self.links[name], self.texts[name] = target, text
            self._found[name] = found.st_dev, found.st_ino

    def _linked(self, name: str) -> Folder:
        """Open the folder that a link leads to. Raises NotADirectoryError where another one lies there by now."""
        folder = Folder.at(self.links[name])
        info = folder.metadata()
        if (info.st_dev, info.st_ino) != self._found[name]:
            folder.close()
            raise NotADirectoryError(errno.ENOTDIR, "was replaced just now", str(self.links[name]))
        return folder

    def folder(self, path: str) -> Folder:
        """Open a folder below this one, as `Folder.folder` does."""
        top, _, rest = path.partition("/")
        if top not in self.links:
            return super().folder(path)
        target = self._linked(top)
        if not rest:
            return target
        with target:
            return target.folder(rest)

    def metadata(self, path: str = "") -> os.stat_result:
        """Return the metadata of what has that name, as `Folder.metadata` does; a followed link's is its folder's."""
        if path not in self.links:
            return super().metadata(path)
        with self._linked(path) as target:
            return target.metadata()

    def device_of(self, path: str) -> int:
        """Return the device of the file system on which what has that name should be."""
        top = path.partition("/")[0]
        return self.metadata(top if top in self.links else "").st_dev

    def take_links_away(self) -> None:
        """Remove the followed links themselves; what they lead to stays."""
        for name in self.links:
            os.unlink(name, dir_fd=self.number)
        self.links, self.texts = {}, {}
        self.sync()

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        top, _, rest = path.partition("/")
        if not rest or top not in self.links:
            with super()._parent(path) as found:
                yield found
            return
        with self._linked(top) as target, target._parent(rest) as found:
            yield found


def lay_links(store: Folder, texts: Mapping[str, str]) -> None:
    """Lay links of root's at the top of a store, where nothing has their names."""
    for name, text in texts.items():
        with contextlib.suppress(FileExistsError):
            os.symlink(text, name, dir_fd=store.number)
    store.sync()
