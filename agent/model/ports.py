"""This module has what the agent needs of the world outside, as protocols: tests give others than the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from .clients import Bucket as Bucket
from .clients import Homeserver as Homeserver
from .items import Entry, Object, View
from .settings import StoreSettings

T = TypeVar("T")

#: Takes a line of progress for people.
Say = Callable[[str], None]


class Layer(IntEnum):
    """A `Layer` says what of the mounts at one path is meant, from the lowest to the topmost."""

    #: A disk, or a folder of one.
    DISK = 0
    #: What lies over a disk so that nobody can write to it there.
    FLOOR = 1
    #: A bucket, and a cover in its place.
    BUCKET = 2


class OpenFolder(Protocol):
    """An `OpenFolder` is a folder that was opened and stays the same one; `host.beneath` has the real one."""

    @property
    def path(self) -> Path:
        """Return the path by which it was opened."""

    @property
    def magic_link(self) -> str:
        """Return a path that leads this process to this very folder."""


class System(Protocol):
    """A `System` is the processes, systemd and the mounts of this server; `host.system` has the real one."""

    def run(
        self,
        argv: Sequence[str],
        timeout: float | None = None,
        check: bool = True,
        stdin: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program and return its standard output; `timeout` is in seconds, `stdin` an open file that it reads.

        `environment` is in the place of the agent's own.

        Raises CommandFailed where `check` is set and it ends with another exit status than 0, and
        subprocess.TimeoutExpired.
        """

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run `systemctl` and return its standard output. Raises what `run` does."""

    def is_active(self, unit: str) -> bool:
        """Return whether systemd says that the unit is active."""

    def units(self, patterns: Sequence[str]) -> dict[str, str]:
        """Return the active state of each loaded unit that matches one of the patterns, by the unit's name."""

    def queued(self, patterns: Sequence[str]) -> set[str]:
        """Return the units that match one of the patterns and wait for others before they start."""

    def stop(self, units: Sequence[str], timeout: float = ...) -> None:
        """Stop units and wait until they are down; `timeout` is in seconds. Raises what `run` does."""

    def start(self, units: Sequence[str], wait: bool = True, timeout: float = ...) -> None:
        """Start units, and with `wait` return once they run; `timeout` is in seconds. Raises what `run` does."""

    def mounted(self, path: Path) -> bool:
        """Return whether a bucket is mounted exactly at `path`."""

    def layers(self, path: Path) -> list[str]:
        """Return the sources of the mounts exactly at `path`, the topmost as the last, but for a disk and its floor."""

    def has_disk(self, path: Path) -> bool:
        """Return whether a disk is mounted exactly at `path`, or a folder of one, whatever lies over it."""

    def kind(self, path: Path) -> str:
        """Return the type of the file system that is mounted exactly at `path`; it is empty where none is."""

    def shows_same(self, path: Path, other: Path) -> bool:
        """Return whether what is mounted exactly at one path is what is mounted exactly at the other."""

    def attach(self, source: Path, point: OpenFolder) -> None:
        """Let what is mounted at `source` be seen at the open folder `point` too. Raises OSError."""

    def make_private(self, path: Path) -> None:
        """Have what is mounted over others of the same file system not be seen at `path`. Raises OSError."""

    def cover(self, point: OpenFolder, options: str, layer: Layer = ...) -> None:
        """Mount an empty file system over the open folder `point`, with these options of tmpfs. Raises OSError.

        On the layer FLOOR it is the floor over a disk.
        """

    def unmount(self, path: Path, layer: Layer = ...) -> None:
        """Take the mounts of `layer` and above it off `path`. Raises `Problem` where one stays."""

    def as_user(self, uid: int, gid: int, action: Callable[[], T], timeout: float = 30) -> T:
        """Return what `action` returns in a child process of that user and group; `timeout` is in seconds.

        Raises OSError with what the child met, and TimeoutError where it did not answer in time.
        """

    def open_for_writing(self, folder: Path) -> list[str]:
        """Return a line for each file below the folder that a process has open for writing: who, and which file."""

    def can_freeze(self) -> bool:
        """Return whether this server has control groups that can be frozen."""

    def groups_of_units(self, units: Sequence[str]) -> list[str]:
        """Return the control groups of those of the units that have one. Raises CommandFailed."""

    def freeze(self, groups: Sequence[str], seconds: float) -> bool:
        """Freeze control groups; return whether all their processes stand still within `seconds`. Raises OSError."""

    def frozen(self, groups: Sequence[str]) -> list[str]:
        """Return those of the control groups that were told to stand still."""

    def are_still(self, groups: Sequence[str]) -> bool:
        """Return whether all processes of the control groups stand still now; a group that is gone does not."""

    def making_folders(self, groups: Sequence[str]) -> list[str]:
        """Return the processes of these groups, which stand still, that stopped as they made a folder."""

    def thaw(self, groups: Sequence[str]) -> None:
        """Let the processes of control groups go on; one that is gone is none."""

    def views(self, folder: Path, but_for: Sequence[Path] = ()) -> list[View]:
        """Return the mount namespaces in which the folder can be written to, but for this process's own.

        What is mounted at the paths `but_for` is not counted.
        """

    def blind(self, seen: Sequence[View], folder: Path) -> list[View]:
        """Return those of these views in which what is mounted at the folder by now is not seen."""

    def processes(self, command: bytes) -> list[Path]:
        """Return the folders in /proc of the processes whose command line has a match of that regular expression."""

    def wait_until(self, condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        """Return whether `condition` came true within `seconds`; it is asked each `every` seconds."""

    def pause(self, seconds: float) -> None:
        """Do nothing for that many seconds."""

    def sync(self) -> None:
        """Return once all that was written is on disk."""


class Copier(Protocol):
    """A `Copier` copies many files; `copying.transfer` has the real one."""

    def upload(
        self,
        source: Path,
        entries: Sequence[Entry],
        owner: Any,
        progress: Any,
        method: str,
        deadline: float | None,
    ) -> None:
        """Copy local files below `source` into the bucket, with the rights of `owner` (user and group by number).

        `deadline` is in seconds on the monotonic clock. Raises CommandFailed where not all arrived; what arrived stays.
        """

    def download(
        self, target: Path, objects: Sequence[Object], owner: Any, progress: Any, deadline: float | None
    ) -> None:
        """Copy objects into `target`, a folder that nothing else uses; `owner` and `deadline` are as in `upload`.

        Raises CommandFailed where not all arrived; what arrived stays.
        """

    def prepare(self) -> None:
        """Decide how many files are copied at once, so that a window need not."""

    def to(self, server: Any) -> Copier:
        """Return a copier for the same server with other settings: of another bucket."""

    def across(
        self, source: StoreSettings, objects: Sequence[Object], owner: Any, progress: Any, deadline: float | None
    ) -> None:
        """Copy objects of the bucket `source` into this one's; `owner` and `deadline` are as in `upload`.

        Raises CommandFailed where not all arrived; what arrived stays.
        """


class Listener(Protocol):
    """A `Listener` tells what changes in a folder; `media.listener` has the real one."""

    def take(self) -> set[str] | None:
        """Return the paths that may have changed since the last time, each of a file, or of a folder with all below it.

        Return None where changes may have been missed.
        """


#: Begins to listen at a folder; gives None where nobody can.
Listen = Callable[[Path], AbstractContextManager["Listener | None"]]


class Heard(Protocol):
    """A `Heard` tells which files were written to through a mount; `media.heard` has the real one."""

    def take(self) -> set[str] | None:
        """Return the paths of the files that were written to since this was last asked, as their writers saw them.

        Return None where some may have been missed.
        """


#: Begins to hear of a mount; gives None where nobody can.
Hear = Callable[[Path], AbstractContextManager["Heard | None"]]
