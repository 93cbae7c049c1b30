"""This module says whether the store that is to be moved is the one that the running homeserver uses.

An administrator may have moved the media and kept the old folder: all would be copied, compared and proven, and the
homeserver would go on elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..host.beneath import Folder
from ..media.synapse_db import SynapseDatabase
from ..model.errors import Problem
from ..state.run import Server

#: How Synapse's processes are known, workers too.
SYNAPSE = rb"synapse\.app\.|synapse_homeserver|synapse_worker"
#: Media that the database knows as its newest: where none of them is here, the store is another one.
NEWEST = 5
#: A configuration file has fewer bytes than this.
LONGEST = 1 << 20
_MEDIA_STORE = re.compile(r"""^media_store_path:[ \t]*["']?([^"'#\n]+)""", re.MULTILINE)
_NOT_LOCAL = re.compile(r"^enable_local_media_storage:[ \t]*[\"']?(false|no|off)\b", re.MULTILINE | re.IGNORECASE)


def check(server: Server, database: SynapseDatabase) -> None:
    """Raise `Problem` where the homeserver keeps its media elsewhere, as its processes and its database show.

    What cannot be seen, such as another homeserver's files, is no reason.
    """
    for process in server.system.processes(SYNAPSE):
        _check_process(server.store_path, process)
    _check_newest(server, database)


def _check_newest(server: Server, database: SynapseDatabase) -> None:
    newest = database.newest(NEWEST)
    confirmed = {*server.settings.migration.confirmed}
    with Folder.at(server.store_path) as store:
        missing = [path for path in newest if store.find(path) is None and path not in confirmed]
    if newest and len(missing) == len(newest):
        raise Problem(
            f"none of the newest media in Synapse's database is a file in {server.store_path}, {missing[0]!r} first",
            "set host.mediaStore to Synapse's media_store_path on the server, and host.database to its database; "
            "only if these files were lost, name them in migration.confirmed",
        )


def _check_process(store: Path, process: Path) -> None:
    """Raise `Problem` where one of Synapse's processes sees another folder as its media store."""
    with contextlib.suppress(OSError), Folder.of_process(process) as root:
        text = "\n".join(_configuration(root, process))
        if _NOT_LOCAL.search(text):
            raise Problem(
                "Synapse's enable_local_media_storage is false: it keeps no media in its media store",
                "only a media store on disk can be moved; take that line out first",
            )
        told = _MEDIA_STORE.findall(text)
        if not told:
            return
        theirs = root.metadata(told[-1].strip().strip("/"))
        with Folder.at(store) as ours:
            mine = ours.metadata()
        if (theirs.st_dev, theirs.st_ino) != (mine.st_dev, mine.st_ino):
            raise Problem(
                f"Synapse (process {process.name}) keeps its media in a folder of its own, {told[-1].strip()}, which "
                f"is not {store}",
                "set host.mediaStore to the folder on the server that Synapse's media_store_path is",
            )


def _configuration(root: Folder, process: Path) -> list[str]:
    """Return the texts of the process's configuration files, as it was told them, in their order."""
    words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
    texts = []
    for name in _names(words):
        path = name.strip("/")
        inside = [path]
        if root.has_folder(path):
            with root.folder(path) as folder:
                inside = [f"{path}/{each}" for each in sorted(folder.names()) if each.endswith(".yaml")]
        for each in inside:
            with root.file(each) as file:
                texts.append(file.read(LONGEST).decode(errors="replace"))
    return texts


def _names(words: Sequence[str]) -> list[str]:
    found = []
    for word, following in zip(words, [*words[1:], ""]):
        if word in ("-c", "--config-path"):
            found.append(following)
        elif word.startswith("--config-path="):
            found.append(word.partition("=")[2])
    return found
