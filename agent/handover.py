"""The playbook's own mount of the same bucket, in the place of ours: `mount.managedBy: playbook`.

The playbook's unit takes over when it is first started, and ours serves again once the playbook took that unit
away. A drop-in of ours for it asks `give_way` before each start.

What is true if the power fails: before `give_way` our mount is enabled, and serves at the next boot. After it the
playbook's unit is to start, which the homeserver requires; where it does not come up, the guard holds the homeserver
and systemd tries again. The folder beneath is root's all the time; what the playbook's user mounts over is a cover
that takes no file.

What is not true yet: a start in the moment in which `stop_final` ends ours on a way home can still cover the local
store, since `give_way` looks once, before ours is gone; and where `give_way` fails after that, nobody serves.
"""

from __future__ import annotations

import os
import re

from . import mount_programs
from .context import Context
from .errors import Problem
from .places import MOUNT_UNIT, PLAYBOOK_UNIT
from .system import COVER


def agreed(context: Context) -> bool:
    """Whether the playbook's mount may take the place of ours."""
    return context.settings.mount.managed_by == "playbook"


def there(context: Context) -> bool:
    """Whether the playbook has a mount that may."""
    return agreed(context) and (context.places.units / PLAYBOOK_UNIT).exists()


def serving_unit(context: Context) -> str:
    """The unit that mounts the bucket as the media store: ours as long as it runs, since it serves."""
    theirs = there(context) and not _difference(context) and not context.system.is_active(MOUNT_UNIT)
    return PLAYBOOK_UNIT if theirs else MOUNT_UNIT


def _difference(context: Context) -> str:
    """What the playbook's unit mounts otherwise than ours; empty where it is the same."""
    text = (context.places.units / PLAYBOOK_UNIT).read_text(errors="replace")
    words = re.split(r"[\s=,'\"]+", text)
    store = context.settings.store
    if store.bucket not in words:
        return f"another bucket than {store.bucket}"
    if context.settings.host.media_store not in words:
        return f"it elsewhere than at {context.settings.host.media_store}"
    if "--endpoint" in words and store.endpoint not in words:
        return f"a bucket elsewhere than at {store.endpoint}"
    return ""


def give_way(context: Context) -> None:
    """Nothing of ours mounts here any more. `Problem` where the playbook's mount must not come up."""
    store = context.settings.host.store_path
    difference = _difference(context)
    if difference:
        raise Problem(f"{PLAYBOOK_UNIT} mounts {difference}", "correct vars.yml (make playbook-vars), run the playbook")
    # In a window too: a local store is known by its inode, and by having something in it.
    if context.journal.serving == "local" or not context.system.layers(store) and _is_local(context):
        raise Problem(f"{store} is the local media store", "the bucket is mounted there in phase live only")
    context.system.systemctl("disable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
    context.system.stop([MOUNT_UNIT])
    context.system.unmount(store)
    uid, gid = context.owner
    # fusermount mounts for a user only over a folder that is that user's. Without an inode to spare it takes no file.
    options = f"nosuid,nodev,noexec,size=4k,nr_inodes=1,mode=0700,uid={uid},gid={gid}"
    context.system.run(["mount", "-t", "tmpfs", "-o", options, COVER, str(store)])


def _is_local(context: Context) -> bool:
    store = context.settings.host.store_path
    return os.stat(store).st_ino == context.journal.facts.get("store_inode") or any(store.iterdir())


def check_change(before: Context, now: Context) -> None:
    """`Problem` where new settings would have two mounts fight for the media store, or take one's key away."""
    if not there(before):
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
    if there(context):
        raise Problem(
            f"the playbook's {PLAYBOOK_UNIT} is there still, and would mount the bucket over the local media store",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then try again",
        )
