"""This module lets the playbook's own mount of the bucket take the place of ours: `mount.managedBy: playbook`.

The playbook's unit takes over when it is first started, and ours serves again once the playbook took that unit away, or
changed it to mount something else, or the stack takes it back, see `earlier_mount`. A drop-in of ours for it asks
`give_way` before each start.

What is true if the power fails: before `give_way` our mount is enabled, and serves at the next boot. In and after it a
file of ours says that the playbook's unit serves; the homeserver requires that unit, and its guard starts it and waits
for it. Where `give_way` fails, that file goes and ours is started again. The folder beneath is root's all the time;
what the playbook's user mounts over is a cover that takes no file.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from ..host.beneath import Folder, beside
from ..host.files import sync_folder, write_atomic
from ..host.systemd import RUNNING
from ..model.errors import CommandFailed, Problem
from ..model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from ..model.phases import Side
from ..model.settings import StoreSettings, is_regions_own
from ..state.journal import Journal
from ..state.records import Owner
from ..state.run import Server
from . import admission, mount_point, write_cache

#: Seconds for which our mount may take to end: longer than its unit lets it, shorter than the playbook's waits.
STOP_SECONDS = 60
#: An environment file has fewer bytes than this.
LONGEST = 1 << 16
#: What goofys reads of its environment file; the playbook writes the first of each.
_KEY_ID = ("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
_SECRET = ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")


def may_mount(server: Server) -> bool:
    """Return whether the stack lets the playbook's mount take the place of ours."""
    return server.settings.mount.managed_by == "playbook"


def unit_exists(server: Server) -> bool:
    """Return whether the stack lets the playbook mount the bucket, and the playbook has laid its unit."""
    return may_mount(server) and (server.layout.units / PLAYBOOK_UNIT).exists()


def serves(server: Server) -> bool:
    """Return whether the playbook's mount took the place of ours."""
    return unit_exists(server) and server.layout.gave_way.exists()


def serving_unit(server: Server) -> str:
    """Return the name of the unit that mounts the bucket as the media store: the playbook's or ours."""
    return PLAYBOOK_UNIT if serves(server) else MOUNT_UNIT


def choose(server: Server) -> None:
    """Decide in a cutover, while neither unit runs, which one is to serve.

    That is the playbook's where it exists and mounts the same bucket in the same way, else ours.
    """
    if unit_exists(server) and not _difference(server):
        write_atomic(server.layout.gave_way, b"")
    else:
        forget(server)


def forget(server: Server) -> None:
    """Make our unit the one that is to serve."""
    path = server.layout.gave_way
    if path.exists():
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def _difference(server: Server) -> str:
    """Return what the playbook's unit mounts otherwise than ours; the text is empty where it is the same."""
    text = (server.layout.units / PLAYBOOK_UNIT).read_text(errors="replace")
    words = re.split(r"[\s=,'\"]+", text)
    pairs = list(zip(words, words[1:]))
    store = server.settings.store

    def told(flag: str) -> list[str]:
        return [value for word, value in pairs if word == flag]

    path = server.settings.host.media_store
    # In its container the folder is called /s3.
    if not {(store.bucket, "/s3"), (store.bucket, path)} & set(pairs):
        return f"another bucket than {store.bucket}"
    if path not in words:
        return f"it elsewhere than at {path}"
    if told("--region") != [store.region]:
        return f"it in another region than {store.region}"
    # Told no endpoint, goofys takes AWS's own.
    wanted = [store.endpoint] if told("--endpoint") or not is_regions_own(store.endpoint, store.region) else []
    if told("--endpoint") != wanted:
        return f"a bucket elsewhere than at {store.endpoint}"
    if not _same_key(store, [*told("--env-file"), *told("EnvironmentFile")]):
        return "it with another key than this stack's"
    return ""


def _same_key(store: StoreSettings, files: list[str]) -> bool:
    """Return whether these environment files hold the stack's key; nothing of them is told to anybody."""
    values: dict[str, str] = {}
    for name in files:
        with contextlib.suppress(OSError):
            with beside(Path(name.removeprefix("-"))) as (folder, last), folder.file(last) as file:
                lines = file.read(LONGEST).decode(errors="replace").splitlines()
            values.update((key.strip(), value.strip()) for key, _, value in (line.partition("=") for line in lines))

    def given(names: tuple[str, ...]) -> set[str]:
        return {values[name] for name in names if name in values}

    return given(_KEY_ID) == {store.access_key_id} and given(_SECRET) == {store.secret_access_key}


def give_way(server: Server, owner: Owner) -> None:
    """Unmount the media store, so that the playbook's mount can come up there.

    Raises `Problem` where that must not come up, and whatever else fails; where the bucket serves, our mount is started
    again then.
    """
    system = server.system
    try:
        _check_may(server)
        write_atomic(server.layout.gave_way, b"")
        system.systemctl("disable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
        system.stop([MOUNT_UNIT], STOP_SECONDS)
        system.unmount(server.store_path)
        _check_not_local(server)  # the media may have come home meanwhile
        # fusermount mounts for a user only over a folder that is that user's. Without an inode to spare it takes
        # no file.
        with Folder.at(server.store_path) as point:
            mount_point.check(point)
            system.cover(point, f"size=4k,nr_inodes=1,mode=0700,uid={owner.uid},gid={owner.gid}")
    except Exception:
        _serve_again(server)
        raise


def _check_may(server: Server) -> None:
    if any(cache.owed_any() for cache in write_cache.known(server)):
        raise Problem(
            "uploads are in our mount's cache alone", "wait until they are in the bucket, then start it again"
        )
    if not may_mount(server):
        raise Problem("mount.managedBy is stack", "set it to playbook and run pulumi up")
    difference = _difference(server)
    if difference:
        raise Problem(
            f"{PLAYBOOK_UNIT} mounts {difference}",
            "correct vars.yml (media-store playbook-vars), run the playbook",
        )
    _check_not_local(server)
    admission.check_owner(server.settings.store, Journal.load(server.layout))


def _check_not_local(server: Server) -> None:
    """Raise `Problem` where the media store is local."""
    admission.check(server.system, server.settings, Journal.load(server.layout), server.store_path)


def _serve_again(server: Server) -> None:
    """Make our unit the one that is to serve, and start it if the bucket serves; a window decides by itself."""
    forget(server)
    if Journal.load(server.layout).serving is Side.BUCKET:
        server.system.systemctl("enable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
        server.system.start([MOUNT_UNIT], wait=False)


def clear(server: Server) -> None:
    """Unmount the media store, by whichever unit it was mounted.

    Only units that run are stopped: at boot, to stop the playbook's unit would cancel what waits for it. Raises
    CommandFailed where a mount stays.
    """
    units = [MOUNT_UNIT, *([PLAYBOOK_UNIT] if unit_exists(server) else [])]
    running = [unit for unit, state in server.system.units(units).items() if state in RUNNING]
    with contextlib.suppress(CommandFailed):  # what matters is what is mounted
        server.system.stop(running)
    server.system.unmount(server.store_path)


def is_taken_back(before: Server, now: Server) -> bool:
    """Return whether new settings take the mount back from the playbook, whose unit is there still."""
    return unit_exists(before) and not may_mount(now)


def check_change(before: Server, now: Server, serving: Side) -> None:
    """Raise `Problem` where new settings would take the key, or the bucket, of the playbook's mount away."""
    if may_mount(now) and serving is Side.BUCKET and serves(before):
        difference = _difference(now)
        if difference and not _difference(before):
            raise Problem(
                f"settings changed, and the playbook's {PLAYBOOK_UNIT} would mount {difference}",
                "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook: this program mounts "
                "the bucket again; then run pulumi up, and put the new lines in (media-store playbook-vars)",
            )


def check_gone(server: Server) -> None:
    """Raise `Problem` where the playbook's unit is there, and nothing would keep it off the local store any more."""
    if unit_exists(server):
        raise Problem(
            f"the playbook's {PLAYBOOK_UNIT} is there still, and would mount the bucket over the local media store",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then try again",
        )
