"""This module keeps what a move from one store to another needs, on disk, until it is over.

The settings on the server name the store that serves. That changes in one moment, `bring_in`, after the journal says
so. Before it nothing that the mount starts with is of the new store; after it all of it is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.files import NO_ROOM, damaged, read_json, write_atomic, write_json
from ..model.layout import Layout
from .run import keep_settings, known_settings

if TYPE_CHECKING:
    from ..model.ports import System

#: The sections of settings that a move changes.
SECTIONS = ("store", "mount")


@dataclass(frozen=True, repr=False)
class Moving:
    """A `Moving` is a move: the sections of settings of the store that is gone to, and of the one that is left.

    `epoch` is at which change of hands the new bucket became this server's. `files` are what the mount starts with once
    the new store serves: text in base64 and mode by path.
    """

    to: dict[str, dict[str, Any]]
    left: dict[str, dict[str, Any]]
    epoch: int
    files: dict[str, tuple[str, int]]
    #: Whether the new bucket was this server's before: what lies in it, this program put there.
    returns: bool = False

    def goes_to(self, store: Mapping[str, Any]) -> bool:
        """Return whether the move goes to the store of that section: to that bucket, whatever its keys are."""
        return all(self.to["store"].get(name) == store.get(name) for name in ("name", "endpoint", "bucket", "prefix"))


def read(layout: Layout) -> Moving | None:
    """Return the move that is under way, or None. Raises `Problem` where its file is damaged."""
    document = read_json(layout.moving)
    if document is None:
        return None
    try:
        files = {str(path): (str(text), int(mode)) for path, (text, mode) in document["files"].items()}
        to, left, epoch = dict(document["to"]), dict(document["left"]), int(document["epoch"])
        return Moving(to, left, epoch, files, bool(document["returns"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(layout.moving, error) from None


def write(layout: Layout, moving: Moving) -> None:
    """Keep a move on disk; it holds keys, so only root may read it. Raises OSError where the disk has no room."""
    write_json(layout.moving, asdict(moving))


def encoded(files: Mapping[Path, tuple[bytes, int]]) -> dict[str, tuple[str, int]]:
    """Return files, content and mode by path, as a `Moving` has them."""
    return {str(path): (base64.b64encode(data).decode(), mode) for path, (data, mode) in files.items()}


def is_brought_in(layout: Layout, moving: Moving) -> bool:
    """Return whether the new store is the one that serves by the settings on the server."""
    return known_settings(layout).get("store") == moving.to["store"]


def bring_in(layout: Layout, system: System, moving: Moving) -> None:
    """Have the mount start with the new store from now on; it may be done again after an interruption.

    The settings come last: a mount may start once they name the store that the journal decided for. On a full disk the
    journal's reserve makes room: no mount starts until this is done.
    """
    try:
        _lay(layout, system, moving)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        layout.reserve.unlink(missing_ok=True)
        _lay(layout, system, moving)


def _lay(layout: Layout, system: System, moving: Moving) -> None:
    for path, (text, mode) in moving.files.items():
        write_atomic(Path(path), base64.b64decode(text), mode)
    system.systemctl("daemon-reload")
    keep_settings(layout, moving.to)


def forget_manifest(layout: Layout) -> None:
    """Remove the manifest of this layout, one of a move or of a store that is let go."""
    layout.manifest.unlink(missing_ok=True)


def forget(layout: Layout) -> None:
    """Remove what a move needed, and the keys of the store that it went to by the names of their own."""
    other = layout.of_move
    for path in (layout.moving, other.rclone_conf, other.credentials):
        path.unlink(missing_ok=True)
