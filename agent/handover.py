"""The playbook's own mount of the same bucket, in the place of ours: `mount.managedBy: playbook`.

The playbook's unit takes over when it is first started, and ours serves again once the playbook took that unit
away, or changed it to mount something else. A drop-in of ours for it asks `give_way` before each start.

What is true if the power fails: before `give_way` our mount is enabled, and serves at the next boot. In and after
it a file of ours says that the playbook's unit serves; the homeserver requires that unit, and its guard starts it
and waits for it. Whatever `give_way` meets, that file goes and ours is started again. The folder beneath is root's
all the time; what the playbook's user mounts over is a cover that takes no file.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from . import admission
from .errors import Problem
from .files import sync_folder, write_atomic
from .journal import Journal
from .places import MOUNT_UNIT, PLAYBOOK_UNIT, Places
from .settings import Settings, StoreSettings, is_regions_own
from .system import COVER, RUNNING, CommandFailed

if TYPE_CHECKING:
    from .context import Context

#: Seconds for which our mount may take to end: longer than its unit lets it, shorter than the playbook's waits.
STOP_SECONDS = 60
#: What goofys reads of its environment file; the playbook writes the first of each.
_KEY_ID = ("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
_SECRET = ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")


def agreed(context: Context) -> bool:
    """Whether the playbook's mount may take the place of ours."""
    return context.settings.mount.managed_by == "playbook"


def there(settings: Settings, places: Places) -> bool:
    """Whether the playbook has a mount that may."""
    return settings.mount.managed_by == "playbook" and (places.units / PLAYBOOK_UNIT).exists()


def given_way(settings: Settings, places: Places) -> bool:
    """Whether it did."""
    return there(settings, places) and places.gave_way.exists()


def serving_unit(context: Context) -> str:
    """The unit that mounts the bucket as the media store."""
    return PLAYBOOK_UNIT if given_way(context.settings, context.places) else MOUNT_UNIT


def choose(context: Context) -> None:
    """Before a cutover, while neither unit runs: the playbook's where it is there and mounts the same, else ours."""
    if there(context.settings, context.places) and not _difference(context):
        write_atomic(context.places.gave_way, b"")
    else:
        forget(context)


def forget(context: Context) -> None:
    """Ours is to serve."""
    path = context.places.gave_way
    if path.exists():
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def _difference(context: Context) -> str:
    """What the playbook's unit mounts otherwise than ours; empty where it is the same."""
    text = (context.places.units / PLAYBOOK_UNIT).read_text(errors="replace")
    words = re.split(r"[\s=,'\"]+", text)
    store = context.settings.store

    def told(flag: str) -> list[str]:
        return [value for word, value in zip(words, words[1:], strict=False) if word == flag]

    path = context.settings.host.media_store
    # In its container the folder is called /s3.
    if not {(store.bucket, "/s3"), (store.bucket, path)} & set(zip(words, words[1:], strict=False)):
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
    """Whether these environment files hold the stack's key; nothing of them is told."""
    values: dict[str, str] = {}
    for name in files:
        with contextlib.suppress(OSError):
            lines = Path(name.removeprefix("-")).read_text(errors="replace").splitlines()
            values.update((key.strip(), value.strip()) for key, _, value in (line.partition("=") for line in lines))

    def given(names: tuple[str, ...]) -> set[str]:
        return {values[name] for name in names if name in values}

    return given(_KEY_ID) == {store.access_key_id} and given(_SECRET) == {store.secret_access_key}


def give_way(context: Context) -> None:
    """Nothing of ours mounts here any more. `Problem` where the playbook's mount must not come up; ours serves then."""
    store, system = context.settings.host.store_path, context.system
    try:
        _check_may(context)
        write_atomic(context.places.gave_way, b"")
        system.systemctl("disable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
        system.stop([MOUNT_UNIT], STOP_SECONDS)
        system.unmount(store)
        _check_not_local(context)  # the media may have come home meanwhile
        uid, gid = context.owner
        # fusermount mounts for a user only over a folder that is that user's. Without an inode to spare it takes
        # no file.
        options = f"nosuid,nodev,noexec,size=4k,nr_inodes=1,mode=0700,uid={uid},gid={gid}"
        system.run(["mount", "-t", "tmpfs", "-o", options, COVER, str(store)])
    except Exception:
        _serve_again(context)
        raise


def _check_may(context: Context) -> None:
    if not agreed(context):
        raise Problem("mount.managedBy is stack", "set it to playbook and run pulumi up")
    difference = _difference(context)
    if difference:
        raise Problem(f"{PLAYBOOK_UNIT} mounts {difference}", "correct vars.yml (make playbook-vars), run the playbook")
    _check_not_local(context)


def _check_not_local(context: Context) -> None:
    """Bare, it is an empty mount point: in a window the journal alone does not tell."""
    store = context.settings.host.store_path
    admission.check(context.system, context.settings, context.journal, store)
    if not context.system.layers(store) and any(store.iterdir()):
        raise admission.is_local(store)


def _serve_again(context: Context) -> None:
    """Ours, where the bucket serves. A window that is under way decides by itself."""
    forget(context)
    if Journal.load(context.places).serving == "bucket":
        context.system.systemctl("enable", "--quiet", "--no-reload", MOUNT_UNIT, check=False)
        context.system.start([MOUNT_UNIT], wait=False)


def clear(context: Context) -> None:
    """Nothing is mounted as the media store any more, by whomever.

    Only what runs is stopped: at boot, to stop the playbook's unit would cancel what waits for it.
    """
    units = [MOUNT_UNIT, *([PLAYBOOK_UNIT] if there(context.settings, context.places) else [])]
    running = [unit for unit, state in context.system.units(units).items() if state in RUNNING]
    with contextlib.suppress(CommandFailed):  # what matters is what is mounted
        context.system.stop(running)
    context.system.unmount(context.settings.host.store_path)


def check_change(before: Context, now: Context) -> None:
    """`Problem` where new settings would have two mounts fight for the media store, or take one's key away."""
    if not there(before.settings, before.places):
        return
    if not agreed(now):
        raise Problem(
            f"mount.managedBy is stack now, and the playbook's {PLAYBOOK_UNIT} is there still",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then run pulumi up again",
        )
    if before.journal.serving == "bucket" and serving_unit(before) == PLAYBOOK_UNIT:
        difference = _difference(now)
        if difference and not _difference(before):
            raise Problem(
                f"settings changed, and the playbook's {PLAYBOOK_UNIT} would mount {difference}",
                "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook: this program mounts "
                "the bucket again; then run pulumi up, and put the new lines in (make playbook-vars)",
            )


def check_gone(context: Context) -> None:
    """`Problem` where nothing would keep the playbook's mount off the local store any more."""
    if there(context.settings, context.places):
        raise Problem(
            f"the playbook's {PLAYBOOK_UNIT} is there still, and would mount the bucket over the local media store",
            "take the matrix_s3_media_store_* lines out of vars.yml and run the playbook; then try again",
        )
