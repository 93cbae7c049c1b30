"""This module has the server as the agent knows it, and a run of the agent on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host import console, ids
from ..host.files import read_json, write_json
from ..host.system import System
from ..model import programs
from ..model.items import ServerIds
from ..model.layout import Layout
from ..model.phases import Milestone
from ..model.settings import Settings, StoreSettings, merge, of_any_format, parse, with_format
from .journal import Journal

if TYPE_CHECKING:
    from ..media.equality import Manifest
    from ..model import ports
    from ..model.programs import Program


def _connect(store: StoreSettings) -> ports.Bucket:
    # What is asked in a window, for a mount about to start, must not wait for a client that it does not need.
    from ..store.bucket import Bucket

    return Bucket(store)


@dataclass(frozen=True)
class Server:
    """A `Server` is this server with its settings, its processes and mounts, and its bucket."""

    layout: Layout
    settings: Settings
    system: ports.System = field(default_factory=System)
    connect: Callable[[StoreSettings], ports.Bucket] = _connect

    @classmethod
    def load(cls, layout: Layout, *documents: dict[str, Any]) -> Server:
        """Return the server with the settings that lie on it, and newer ones (by section) laid over.

        Raises `Problem` where there is a setting that this agent does not know.
        """
        return cls(layout, parse(merge(known_settings(layout), *documents)))

    @cached_property
    def bucket(self) -> ports.Bucket:
        """Return the bucket's client, which is made when it is first asked for."""
        return self.connect(self.settings.store)

    @cached_property
    def ids(self) -> ServerIds:
        """Return the ids by which a bucket may know this server."""
        return ids.of_this_server()

    @cached_property
    def programs(self) -> dict[Path, Program]:
        """Return the pinned programs by their paths: rclone, which copies, and what mounts the bucket as the last.

        Raises `Problem` where there is none for this processor.
        """
        pinned = programs.wanted(self.settings.mount, os.uname().machine)
        return {self.layout.program(each): each for each in pinned}

    @property
    def mount_program(self) -> Path:
        """Return the path of the program that mounts the bucket. Raises what `programs` does."""
        return [*self.programs][-1]

    @cached_property
    def rclone(self) -> Path:
        """Return the path of the rclone that copies, which is fetched where it is not there.

        Raises `Problem` where it cannot be had.
        """
        path, program = next(iter(self.programs.items()))
        if not path.exists():  # an update was interrupted, or somebody removed it
            from ..host.fetch import fetch  # not for those that are asked in a window

            fetch(program, path)
        return path

    @property
    def store_path(self) -> Path:
        """Return the path of the media store."""
        return self.settings.host.store_path

    @property
    def backup_path(self) -> Path:
        """Return the path where the local copy is kept while the bucket serves."""
        return self.settings.host.backup_path

    def manifest(self) -> Manifest:
        """Open the manifest on disk: what was seen and proven on both sides."""
        from ..media.equality import Manifest

        return Manifest(self.layout.manifest, customer_key=bool(self.settings.store.sse_customer_key))

    def manifest_in_memory(self) -> Manifest:
        """Make an empty manifest for a few files, which is gone with this process."""
        from ..media.equality import Manifest

        return Manifest(None, customer_key=bool(self.settings.store.sse_customer_key))


def known_settings(layout: Layout) -> dict[str, Any]:
    """Return the settings that lie on the server, by section. Raises `Problem` where their file cannot be read."""
    return of_any_format(read_json(layout.settings) or {})


def keep_settings(layout: Layout, *documents: dict[str, Any]) -> None:
    """Lay newer settings over those on the server, for the units that run without the stack."""
    write_json(layout.settings, with_format(merge(known_settings(layout), *documents)))


def _nobody_waits(milestone: Milestone, about: str) -> None:
    return


@dataclass
class Run:
    """A `Run` is a run of the agent that changes the server; only `migration` and `setup` take the whole of it."""

    server: Server
    journal: Journal
    copier: ports.Copier
    homeserver: ports.Homeserver
    listen: ports.Listen
    hear: ports.Hear
    #: Says a line of progress.
    say: ports.Say = console.say
    #: Tells programs that a moment has come.
    reached: Callable[[Milestone, str], None] = _nobody_waits
    #: Seconds since 1970: names the folders that this run lays beside the store.
    started: float = field(default_factory=time.time)

    @property
    def settings(self) -> Settings:
        """Return the settings of this run."""
        return self.server.settings

    @property
    def layout(self) -> Layout:
        """Return where the agent's files and folders lie."""
        return self.server.layout

    @property
    def system(self) -> ports.System:
        """Return the processes, systemd and the mounts of this server."""
        return self.server.system

    @property
    def bucket(self) -> ports.Bucket:
        """Return the bucket's client."""
        return self.server.bucket

    def checked(self, by: str) -> None:
        """Remember that both sides were compared now, and by which transition; the journal's next save writes it."""
        self.journal.checked = {"time": round(time.time()), "by": by}
