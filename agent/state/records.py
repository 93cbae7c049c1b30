"""This module has the records that the journal is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..model.phases import Stage, Window


class Owner(NamedTuple):
    """An `Owner` is the user and group to whom the media store belongs, by number."""

    uid: int
    gid: int


@dataclass(frozen=True, eq=False)
class OpenWindow:
    """An `OpenWindow` is a window that is under way, with the services to start after it."""

    name: Window
    stage: Stage
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LocalStore:
    """A `LocalStore` is the local media store as it was found: its owner, its mode, and how the local copy is known.

    That is by a token that lies in it, and where that is gone, by its inode; see `state.local_copy`. Without a local
    copy the one is empty and the other None. `parent` is the inode of the folder that it is in, by which its disk is
    known, or 0. `is_disk` says that it is a disk of its own. `links` are root's own at its top, to folders on another
    disk, each with what it says, while no local copy has them.
    """

    uid: int
    gid: int
    mode: int
    inode: int | None = None
    token: str = ""
    parent: int = 0
    is_disk: bool = False
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Installed:
    """An `Installed` says what was laid on the server: the agent, the mark of the last repair, the file of keys."""

    agent_sha256: str = ""
    repairs: str | None = None
    status_keys: str = ""
