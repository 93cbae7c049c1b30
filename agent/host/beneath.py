"""This module acts in folders that belong to somebody else: the media store, and all that lies in and beside it.

Whoever owns a folder may put a link in the place of anything in it, at any moment, and root would follow that anywhere.
So each part of a path is opened by itself, without following links, and what is done is done to what was opened. No
other module touches the media store, or anything beside it, by a path (docs/decisions/0011).
https://man7.org/linux/man-pages/man2/openat.2.html
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

from ..model.errors import Problem
from .unfollowed import FOLDER, MOST_LINKS, open_absolute, told

F = TypeVar("F", bound="Folder")

#: Folders in each other that are removed; a media store has five.
DEEPEST = 100
#: What is being made, in a folder of root's.
NEW = "new"

#: A pipe or a device laid in the place of a file must not make anybody wait.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Folder:
    """A `Folder` is an open folder. Paths in it are relative, and no part of them is ever followed if it is a link.

    Each method raises FileNotFoundError where a part of the path is not there, and NotADirectoryError where one is a
    link, or a file where a folder is meant; and OSError for all else that the kernel refuses.
    """

    def __init__(self, number: int, path: Path) -> None:
        """Take over the open file descriptor `number`; `path` is for people, and for programs of the owner's."""
        self.number, self.path = number, path

    @classmethod
    def at(cls: type[F], path: Path) -> F:
        """Open the folder at an absolute path.

        A link on the way is followed only where root alone may have put it there.
        """
        return cls(open_absolute(path), path)

    @classmethod
    def of_process(cls: type[F], process: Path) -> F:
        """Open the root folder of a process, as that process sees it; `process` is its folder in /proc."""
        return cls(os.open(process / "root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), process / "root")

    def close(self) -> None:
        """Close the folder."""
        os.close(self.number)

    def __enter__(self: F) -> F:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Looking

    def folder(self, path: str) -> Folder:
        """Open a folder below this one; `""` is this one itself, opened once more."""
        if not path:
            return Folder(os.open(".", FOLDER, dir_fd=self.number), self.path)
        with self._parent(path) as (parent, name), told():
            return Folder(os.open(name, FOLDER, dir_fd=parent), self.path / path)

    def file(self, path: str) -> IO[bytes]:
        """Open a regular file for reading, without waiting. Raises OSError too where something else has its name."""
        with self._parent(path) as (parent, name), told():
            number = os.open(name, _FILE, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "not a regular file", path)
        return os.fdopen(number, "rb")

    def metadata(self, path: str = "") -> os.stat_result:
        """Return the metadata of what has that name, a link's own if it is one; `""` is for this folder."""
        if not path:
            return os.fstat(self.number)
        with self._parent(path) as (parent, name):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def find(self, path: str) -> os.stat_result | None:
        """Return the metadata of what has that name, or None where nothing has."""
        try:
            return self.metadata(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def has_folder(self, path: str) -> bool:
        """Return whether a folder has that name, and not a link to one."""
        found = self.find(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def link_at(self, path: str) -> str | None:
        """Return what the link of that name says, or None where it is none. Raises FileNotFoundError."""
        with self._parent(path) as (parent, name):
            try:
                return os.readlink(name, dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return None

    def names(self) -> list[str]:
        """Return the names of all that is in this folder."""
        return os.listdir(self.number)

    # Changing

    def make(self, path: str, owner: tuple[int, int], mode: int, workshop: Folder | None = None) -> None:
        """Make a folder for `owner` (user and group by number), and each that is missing above it.

        One that is there stays as it is. In a folder of somebody else's, each is made in `workshop`, a folder of root's
        on the same file system, and moved here: nothing that was laid here meanwhile is given away.
        """
        above, _, _ = path.rpartition("/")
        if above and not self.has_folder(above):
            self.make(above, owner, mode, workshop)
        if self.find(path) is not None:
            return
        place, name = (self, path) if workshop is None else (workshop, NEW)
        with place._parent(name) as (parent, last):
            with contextlib.suppress(FileExistsError):
                os.mkdir(last, 0o700, dir_fd=parent)
            with told(), Folder(os.open(last, FOLDER, dir_fd=parent), self.path / path) as made:
                made.give(owner, mode)
        if workshop is not None:
            with contextlib.suppress(OSError):  # somebody was faster; whoever needs the folder sees what lies there
                workshop.move(NEW, self, path)

    def work_folder(self, name: str, mode: int = 0o700) -> Folder:
        """Open a folder of that name which root made, and make it where there is none.

        Raises `Problem` where somebody else's, or something else, has the name.
        """
        umask = os.umask(0)  # its mode is not set later: something else may have the name by then
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=self.number)
                os.fsync(self.number)
        finally:
            os.umask(umask)
        try:
            made = self.folder(name)
        except NotADirectoryError:
            raise _in_the_way(self.path / name, "is no folder") from None
        info = made.metadata()
        if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & ~mode:
            made.close()
            raise _in_the_way(self.path / name, "is not one that root made")
        return made

    def give(self, owner: tuple[int, int], mode: int) -> None:
        """Give this folder to `owner`, with that mode."""
        os.fchown(self.number, *owner)
        os.fchmod(self.number, mode)

    def set_mode(self, path: str, uid: int, mode: int) -> None:
        """Set the mode of a file that belongs to user `uid`. Raises OSError where it is somebody else's."""
        with self.file(path) as file:
            if os.fstat(file.fileno()).st_uid != uid:
                raise PermissionError(errno.EPERM, "belongs to somebody else", str(self.path / path))
            os.fchmod(file.fileno(), mode)

    def move(self, path: str, to: Folder, target: str) -> None:
        """Give a file or folder another name, in the folder `to`; a file that has that name is replaced."""
        with self._parent(path) as (source, name), to._parent(target) as (parent, new):
            os.rename(name, new, src_dir_fd=source, dst_dir_fd=parent)

    def rename_entry(self, name: str, new: str) -> None:
        """Rename what is in this folder so that it survives a power loss. Raises FileExistsError where `new` exists.

        rename(2) itself would replace an empty folder: https://man7.org/linux/man-pages/man2/rename.2.html
        """
        if self.find(new) is not None:
            raise FileExistsError(errno.EEXIST, "exists already", str(self.path / new))
        self.move(name, self, new)
        os.fsync(self.number)

    def link(self, path: str, to: Folder, target: str) -> None:
        """Give a file a further name, in the folder `to`."""
        with self._parent(path) as (source, name), to._parent(target) as (parent, new):
            os.link(name, new, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def remove_file(self, path: str) -> None:
        """Remove a file, or a link itself."""
        with self._parent(path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def remove_empty(self, path: str) -> None:
        """Remove an empty folder. Raises OSError where it is not empty."""
        with self._parent(path) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    def remove_tree(self, name: str, depth: int = DEEPEST) -> None:
        """Remove a folder with what is in it, down to `depth` folders; what is none, or cannot be removed, stays."""
        with contextlib.suppress(OSError):
            with self.folder(name) as folder:
                for inner in folder.names():
                    if not folder.has_folder(inner):
                        folder.remove_file(inner)
                    elif depth:
                        folder.remove_tree(inner, depth - 1)
            self.remove_empty(name)

    def write(self, path: str, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
        """Make a file of root's, or of `owner`'s, and return once it is on disk. Raises FileExistsError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._parent(path) as (parent, name), os.fdopen(os.open(name, flags, mode, dir_fd=parent), "wb") as file:
            os.fchown(file.fileno(), *(owner or (-1, -1)))
            os.fchmod(file.fileno(), mode)  # the agent's umask leaves root's rights alone
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fsync(parent)

    def sync(self) -> None:
        """Make renames in this folder survive a power loss."""
        os.fsync(self.number)

    @property
    def magic_link(self) -> str:
        """Return a path that leads this process to this very folder, wherever it is and whatever has its name.

        https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html
        """
        return f"/proc/self/fd/{self.number}"

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Give the open folder that `path` is in, by its number, and the name there."""
        *folders, name = parts(path)
        number = self.number
        try:
            for each in folders:
                with told():
                    inner = os.open(each, FOLDER, dir_fd=number)
                if number != self.number:
                    os.close(number)
                number = inner
            yield number, name
        finally:
            if number != self.number:
                os.close(number)


def parts(path: str) -> list[str]:
    """Return the parts of a relative path. Raises OSError for one that is empty, absolute, or leads upwards."""
    found = path.split("/")
    if {"", ".", ".."} & {*found}:
        raise OSError(errno.EINVAL, "not a path below a folder", path)
    return found


@contextlib.contextmanager
def beside(path: Path) -> Iterator[tuple[Folder, str]]:
    """Give the open folder that `path` is in, and the name there."""
    with Folder.at(path.parent) as parent:
        yield parent, path.name


def is_folder(path: Path) -> bool:
    """Return whether a folder lies at an absolute path, that is neither a link nor beyond one that root did not lay."""
    try:
        with beside(path) as (parent, name):
            return parent.has_folder(name)
    except OSError:
        return False


def target_of(path: Path) -> Path:
    """Return the folder that a link at `path` leads to; `path` itself where none lies there, or none to be followed.

    Each link on the way must be root's, or that of whoever owns the folder at its end: so nobody has root work in a
    folder of somebody else's.
    """
    owners, place = {0}, path
    with contextlib.suppress(OSError):
        for _ in range(MOST_LINKS):
            with beside(place) as (parent, name):
                link, info = parent.link_at(name), parent.metadata(name)
            if link is None:
                return place if owners <= {0, info.st_uid} else path
            owners.add(info.st_uid)
            place = Path(os.path.normpath(place.parent / link))
    return path


def _in_the_way(path: Path, why: str) -> Problem:
    return Problem(f"{path} {why}, and its name is needed for this program's work", "look what it is and move it away")
