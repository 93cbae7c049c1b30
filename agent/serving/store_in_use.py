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
from ..host.mounts import mounts_of
from ..host.open_files import Place, place_in, place_of
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
_MEDIA_REPO = re.compile(r"""^enable_media_repo:[ \t]*["']?(\w+)""", re.MULTILINE)
#: The worker that serves media whatever that says.
#: https://element-hq.github.io/synapse/latest/workers.html#synapseappmedia_repository
_MEDIA_WORKER = re.compile(r"""^worker_app:[ \t]*["']?synapse\.app\.media_repository\b""", re.MULTILINE)
_LOCAL = re.compile(r"""^enable_local_media_storage:[ \t]*["']?(\w+)""", re.MULTILINE)


def check(server: Server, database: SynapseDatabase) -> None:
    """Raise `Problem` where the homeserver keeps its media elsewhere, as its processes and its database show.

    What cannot be seen, such as another homeserver's files, is no reason; nor is a second Synapse with a store of its
    own, as long as one uses this one.
    """
    seen = _all_seen(server)
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
    return [each.process for each in _all_seen(server) if each.is_dead]


def running(server: Server) -> list[str]:
    """Return the numbers of Synapse's processes that serve media from this store, whatever their units say.

    A container runs on where its unit could not reach Docker to end it. No file system is asked, since a mount may be
    dead, or closed to root: only the mounts that each process has.
    """
    place = place_of(server.store_path)
    return [each.name for each in server.system.processes(SYNAPSE) if place and _place_seen_by(each) == place]


def check_some_use_it(server: Server) -> None:
    """Raise `Problem` where processes of Synapse's run here, and none of them keeps its media in this store."""
    if server.system.processes(SYNAPSE) and not running(server):
        raise Problem(
            f"no process of Synapse's keeps its media in {server.store_path}",
            "set host.mediaStore to the folder on the server that Synapse's media_store_path is",
        )


def _place_seen_by(process: Path) -> Place | None:
    try:
        with Folder.of_process(process) as root:
            told = _Told.by(root, process)
            path = told and "/" + _resolved(root, told.path, entering=False)
            return place_in(path, mounts_of(process.name)) if path else None
    except OSError:
        return None


class _Seen(NamedTuple):
    """A `_Seen` is the media store of one of Synapse's processes, as that sees it."""

    process: str
    path: str
    device: int
    inode: int
    not_local: bool = False
    #: Whether it is a mount whose program is gone, or the mount point alone.
    is_dead: bool = False


def _all_seen(server: Server) -> list[_Seen]:
    return [each for each in map(_seen_by, server.system.processes(SYNAPSE)) if each]


class _Told(NamedTuple):
    """A `_Told` is what a process's configuration says of its media store."""

    path: str
    not_local: bool

    @classmethod
    def by(cls, root: Folder, process: Path) -> _Told | None:
        """Return it, or None where the process serves no media. Raises OSError where that cannot be seen."""
        text = "\n".join(_configuration(root, process))
        told = _MEDIA_STORE.findall(text)
        if (_is_off(_MEDIA_REPO, text) and not _MEDIA_WORKER.search(text)) or not told:
            return None
        return cls(told[-1].strip(), _is_off(_LOCAL, text))


def _is_off(switch: re.Pattern[str], text: str) -> bool:
    """Return whether a switch is off: a worker's own file comes last, and has the last word."""
    return [word.lower() in ("false", "no", "off") for word in switch.findall(text)][-1:] == [True]


def _seen_by(process: Path) -> _Seen | None:
    """Return the process's media store; None where that cannot be seen, or it serves no media."""
    try:
        with Folder.of_process(process) as root:
            told = _Told.by(root, process)
            if told is None:
                return None
            path = told.path
            if told.not_local:
                return _Seen(process.name, path, 0, 0, not_local=True)
            try:
                info = root.metadata(_resolved(root, path))
            except OSError as error:
                return _Seen(process.name, path, 0, 0, is_dead=True) if error.errno == errno.ENOTCONN else None
            bare = mount_point.is_what_it_is(info)
            return _Seen(process.name, path, info.st_dev, info.st_ino, is_dead=bare)
    except OSError:
        return None


def _resolved(root: Folder, path: str, entering: bool = True) -> str:
    """Return where a path leads within a root folder, by the links that lie there. Raises OSError for too many.

    Without `entering`, what the last part is does not matter where it cannot be seen, as a mount that is dead.
    """
    waiting, found = [part for part in reversed(path.split("/")) if part], list[str]()
    for _ in range(MOST_PARTS):
        if not waiting:
            return "/".join(found)
        part = waiting.pop()
        if part == "..":
            found = found[:-1]
        elif part != ".":
            try:
                link = root.link_at("/".join([*found, part]))
            except OSError:
                if waiting or entering:
                    raise
                link = None
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
