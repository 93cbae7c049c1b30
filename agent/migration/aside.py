"""This module names the folders beside the media store: local copies in the making, and what was set aside."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..host.files import sync_folder
from ..state.records import Owner
from ..state.run import Run, Server


def incomplete_path(server: Server) -> Path:
    """Return the path where a local copy is filled again, after `clean`."""
    return server.backup_path.with_name(server.backup_path.name + ".incomplete")


def removing_path(server: Server) -> Path:
    """Return the path where a local copy lies that `clean` is removing."""
    return server.backup_path.with_name(server.backup_path.name + ".removing")


def incoming_path(root: Path) -> Path:
    """Return the path where files arrive before they are moved into the local copy at `root`."""
    return root.with_name(root.name + ".incoming")


def dated_folder(run: Run, kind: str) -> Path:
    """Make a folder beside the store for this run and `kind`, root's own, and return its path."""
    store = run.server.store_path
    folder = store.with_name(f"{store.name}-{kind}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(run.started))}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def own_folder(folder: Path, owner: Owner, mode: int) -> None:
    """Make a folder that belongs to the media store's owner, with that mode."""
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)
    os.chown(folder, *owner)
    sync_folder(folder.parent)


def own_folders(root: Path, folder: Path, owner: Owner, mode: int) -> None:
    """Make each folder between `root` and `folder` that is not there, as `own_folder` does."""
    if folder != root and not folder.is_dir():
        own_folders(root, folder.parent, owner, mode)
        own_folder(folder, owner, mode)
