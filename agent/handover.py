"""The playbook's own mount of the same bucket, in the place of ours: `mount.managedBy: playbook`.

The playbook's unit takes over when it is first started, and ours serves again once the playbook took that unit
away. A drop-in of ours for it asks `give_way` before each start, and `shut` after each end.

What is true if the power fails: before `give_way` our mount is enabled, and serves at the next boot. After it the
playbook's unit is to start, which the homeserver requires; where it does not come up, the guard holds the homeserver
and the watchdog tries again. Over a local store that serves, the playbook's unit never mounts anything.
"""

from __future__ import annotations

import os

from . import mount_programs
from .context import Context
from .errors import Problem
from .places import MOUNT_UNIT, PLAYBOOK_UNIT


def agreed(context: Context) -> bool:
    """Whether the playbook's mount may take the place of ours."""
    return context.settings.mount.managed_by == "playbook"


def done(context: Context) -> bool:
    """Whether it is there to do so."""
    return agreed(context) and (context.places.units / PLAYBOOK_UNIT).exists()


def serving_unit(context: Context) -> str:
    """The unit that mounts the bucket as the media store."""
    return PLAYBOOK_UNIT if done(context) else MOUNT_UNIT


def give_way(context: Context) -> None:
    """Nothing of ours mounts here any more; until goofys did, its user may enter the folder beneath."""
    store = context.settings.host.store_path
    context.system.systemctl("disable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
    context.system.unmount(store)  # systemd stopped our unit before; a dead mount may be left
    uid, gid = context.owner
    _set(context, uid, gid, 0o700)  # fusermount mounts for a user only over a folder of that user


def shut(context: Context) -> None:
    """The playbook's mount ended: nobody may write into the folder beneath."""
    if context.journal.serving != "local":
        context.system.unmount(context.settings.host.store_path)
        _set(context, 0, 0, 0o000)


def _set(context: Context, uid: int, gid: int, mode: int) -> None:
    """Only of a mount point: a folder with something in it is somebody's media store."""
    store = context.settings.host.store_path
    if store.is_dir() and not any(store.iterdir()):
        store.chmod(mode)
        os.chown(store, uid, gid)


def check_change(before: Context, now: Context) -> None:
    """`Problem` where new settings would have two mounts fight for the media store, or take one's key away."""
    if not done(before):
        return
    if not agreed(now):
        raise Problem(
            f"mount.managedBy is stack now, and the playbook's {PLAYBOOK_UNIT} is there still",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then run pulumi up again",
        )
    keys = mount_programs.environment(before.settings.store) != mount_programs.environment(now.settings.store)
    if keys and before.journal.serving == "bucket":
        raise Problem(
            f"the store's key changed, and the playbook's {PLAYBOOK_UNIT} mounts the bucket with the earlier one",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook: this program mounts the "
            "bucket again; then run pulumi up, and put the new lines in (make playbook-vars)",
        )


def check_gone(context: Context) -> None:
    """`Problem` where nothing would keep the playbook's mount off the local store any more."""
    if done(context):
        raise Problem(
            f"the playbook's {PLAYBOOK_UNIT} is there still, and would mount the bucket over the local media store",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then try again",
        )
