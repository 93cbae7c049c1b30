"""This module says whether the store that is to be moved is the one that the running homeserver uses.

An administrator may have moved the media and kept the old folder: all would be copied, compared and proven, and the
homeserver would go on elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..host.beneath import Folder
from ..host.linked import Store
from ..media.synapse_db import SynapseDatabase
from ..model.errors import Problem
from ..state.run import Server
from ..store.bucket import STORE_TROUBLE
from . import mount_point

#: How Synapse's processes are known, workers too.
SYNAPSE = rb"synapse\.app\.|synapse_homeserver|synapse_worker"
#: Media that the database knows as its newest: where none of them is here, the store is another one.
NEWEST = 5
#: Parts of a path, those of links on it too.
MOST_PARTS = 200
#: A configuration file has fewer bytes than this.
LONGEST = 1 << 20
_MEDIA_STORE = re.compile(r"""^media_store_path:[ \t]*["']?([^"'#\n]+)""", re.MULTILINE)
_NO_MEDIA = re.compile(r"^enable_media_repo:[ \t]*[\"']?(false|no|off)\b", re.MULTILINE | re.IGNORECASE)
_NOT_LOCAL = re.compile(r"^enable_local_media_storage:[ \t]*[\"']?(false|no|off)\b", re.MULTILINE | re.IGNORECASE)


def check(server: Server, database: SynapseDatabase) -> None:
    """Raise `Problem` where the homeserver keeps its media elsewhere, as its processes and its database show.

    What cannot be seen, such as another homeserver's files, is no reason; nor is a second Synapse with a store of its
    own, as long as one uses this one.
    """
    seen = [each for each in map(_seen_by, server.system.processes(SYNAPSE)) if each]
    with Folder.at(server.store_path) as store:
        info = store.metadata()
    if seen and not any((info.st_dev, info.st_ino) == (each.device, each.inode) for each in seen):
        other = seen[0]
        if other.not_local:
            raise Problem(
                "Synapse's enable_local_media_storage is false: it keeps no media in its media store",
                "only a media store on disk can be moved; take that line out first",
            )
        raise Problem(
            f"Synapse (process {other.process}) keeps its media in a folder of its own, {other.path}, which is not "
            f"{server.store_path}",
            "set host.mediaStore to the folder on the server that Synapse's media_store_path is",
        )
    _check_newest(server, database)


def _check_newest(server: Server, database: SynapseDatabase) -> None:
    newest = database.newest(NEWEST)
    confirmed = {*server.settings.migration.confirmed}
    with Store.at(server.store_path) as store:
        missing = [path for path in newest if store.find(path) is None and path not in confirmed]
    if newest and len(missing) == len(newest) and not any(_is_in_bucket(server, path) for path in missing):
        raise Problem(
            f"none of the newest media in Synapse's database is a file in {server.store_path}, {missing[0]!r} first",
            "set host.mediaStore to Synapse's media_store_path on the server, and host.database to its database; "
            "only if these files were lost, name them in migration.confirmed",
        )


def _is_in_bucket(server: Server, path: str) -> bool:
    """Return whether a medium is in the bucket, as on a server that was rebuilt; one that cannot be asked may be."""
    try:
        return server.bucket.head(path) is not None
    except STORE_TROUBLE:
        return True


def without_mount(server: Server) -> list[str]:
    """Return the numbers of Synapse's processes that see a dead mount as their media store, or our bare mount point.

    Theirs is a mount namespace that does not get what is mounted on the server later: private propagation.
    https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
    """
    seen = [each for each in map(_seen_by, server.system.processes(SYNAPSE)) if each]
    return [each.process for each in seen if each.is_dead]


class _Seen(NamedTuple):
    """A `_Seen` is the media store of one of Synapse's processes, as that sees it."""

    process: str
    path: str
    device: int
    inode: int
    not_local: bool = False
    #: Whether it is a mount whose program is gone, or the mount point alone.
    is_dead: bool = False


def _seen_by(process: Path) -> _Seen | None:
    """Return the process's media store; None where that cannot be seen, or it serves no media."""
    try:
        with Folder.of_process(process) as root:
            text = "\n".join(_configuration(root, process))
            told = _MEDIA_STORE.findall(text)
            if _NO_MEDIA.search(text) or not told:
                return None
            path = told[-1].strip()
            if _NOT_LOCAL.search(text):
                return _Seen(process.name, path, 0, 0, not_local=True)
            try:
                info = root.metadata(_resolved(root, path))
            except OSError as error:
                return _Seen(process.name, path, 0, 0, is_dead=True) if error.errno == errno.ENOTCONN else None
            bare = mount_point.is_what_it_is(info)
            return _Seen(process.name, path, info.st_dev, info.st_ino, is_dead=bare)
    except OSError:
        return None


def _resolved(root: Folder, path: str) -> str:
    """Return where a path leads within a root folder, by the links that lie there. Raises OSError for too many."""
    waiting, found = [part for part in reversed(path.split("/")) if part], list[str]()
    for _ in range(MOST_PARTS):
        if not waiting:
            return "/".join(found)
        part = waiting.pop()
        if part == "..":
            found = found[:-1]
        elif part != ".":
            link = root.link_at("/".join([*found, part]))
            if link is None:
                found.append(part)
            else:
                found = [] if link.startswith("/") else found
                waiting += [each for each in reversed(link.split("/")) if each]
    raise OSError(errno.ELOOP, "too many links", path)


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
