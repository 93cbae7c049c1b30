"""Putting the agent and what it needs on the server, and taking it away."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import VERSION, handover, mount, owner, preflight, proof, status_keys
from .context import Context
from .errors import Problem
from .files import lay_reserve, read_json, sync_folder, write_atomic, write_json
from .journal import RESERVE_BYTES
from .places import WATCHDOG_UNIT, Places
from .settings import merge
from .system import CommandFailed

#: What is called on the server: goofys mounts with fusermount, rclone since 1.62 with fusermount3.
PROGRAMS = ("fusermount", "fusermount3", "rclone", "rsync")


@dataclass(frozen=True)
class PackageManager:
    """How packages are installed, and the names of those that are called otherwise than their program."""

    install: tuple[str, ...]
    packages: Mapping[str, str]
    remedy: str = "install them by hand, then run pulumi up again"


PACKAGE_MANAGERS = {
    # One package has both, since Debian 11 and Ubuntu 20.10.
    "apt-get": PackageManager(
        ("apt-get", "install", "--yes", "--no-install-recommends"), {"fusermount": "fuse3", "fusermount3": "fuse3"}
    ),
    "dnf": PackageManager(
        ("dnf", "install", "--assumeyes"),
        {"fusermount": "fuse", "fusermount3": "fuse3"},
        "rclone is in EPEL (dnf install epel-release); then run pulumi up again",
    ),
    "pacman": PackageManager(
        ("pacman", "--sync", "--noconfirm", "--needed"), {"fusermount": "fuse2", "fusermount3": "fuse3"}
    ),
}


def keep(places: Places, *documents: dict[str, Any]) -> None:
    """Remember settings for the units that run without the stack."""
    write_json(places.settings, merge(read_json(places.settings) or {}, *documents))


def keep_migration(places: Places, document: dict[str, Any]) -> None:
    """Remember how to copy. What is left out may only change while nothing relies on it."""
    old = (read_json(places.settings) or {}).get("migration", {}).get("exclude")
    new = Context.load(places, document)
    if old is not None and old != new.settings.migration.exclude and new.journal.phase not in ("local", "prepare"):
        raise Problem(
            f"copy.exclude changed in phase {new.journal.phase}", "set it back and phase to prepare; change it then"
        )
    keep(places, document)


def install(context: Context, sha256: str, document: dict[str, Any]) -> None:
    """Check the server, then put this very agent in place. Changes nothing else."""
    places = context.places
    check_same_media_store(context)
    preflight.run(context)
    data = this_agent()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Problem("the agent did not arrive as it was sent", "run pulumi up again")
    place_agent(places, data)
    if context.journal.serving == "local":
        info = context.settings.host.store_path.stat()
        context.journal.facts.update(uid=info.st_uid, gid=info.st_gid, mode=info.st_mode & 0o777)
    context.journal.facts.update(agent_sha256=sha256, agent_version=VERSION)
    context.save()
    keep(places, {"host": document["host"]})
    status_keys.lay(context)
    if "mount" in (read_json(places.settings) or {}):  # else a first run was killed before it was told all
        # Newer unit files and a changed list of services. What a running mount was started with is left to
        # `install_mount`, which tries it first: until then it differs, and the next update sees that.
        mount.install(Context.load(places), but_for_the_mount=context.journal.serving == "bucket")
        context.system.systemctl("try-restart", WATCHDOG_UNIT)
    lay_reserve(places.reserve, RESERVE_BYTES)
    context.say(f"agent {VERSION} is in place; the server passed all checks")


def this_agent() -> bytes:
    """The zipapp that runs now."""
    with open(sys.path[0], "rb") as file:
        return file.read()


def place_agent(places: Places, data: bytes) -> None:
    write_atomic(places.agent, data, 0o755)
    places.lib.chmod(0o755)  # so that any user sees whether the agent is there


def install_packages(context: Context) -> None:
    """What is missing, from the server's own package manager."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    name, manager = next(((name, each) for name, each in PACKAGE_MANAGERS.items() if shutil.which(name)), ("", None))
    if manager is None:
        raise Problem(f"{', '.join(missing)} are missing, and no package manager is known here", "install them by hand")
    packages = sorted({manager.packages.get(program, program) for program in missing})
    context.say(f"installing {', '.join(packages)} with {name}")
    try:
        if name == "apt-get":
            context.system.run(["apt-get", "update", "--quiet"], timeout=600)
        context.system.run([*manager.install, *packages], timeout=1800)
    except CommandFailed as error:
        raise Problem(f"{', '.join(packages)} cannot be installed: {error}", manager.remedy) from None


def check_same_media_store(context: Context) -> None:
    """The path may only change while nothing of ours relies on it."""
    old = read_json(context.places.settings) or {}
    before, now = old.get("host", {}).get("media_store"), context.settings.host.media_store
    if before and before != now and context.journal.phase not in ("local", "prepare"):
        raise Problem(
            f"host.mediaStore changed from {before} to {now} in phase {context.journal.phase}",
            "set it back and phase to prepare; change it then",
        )


def check_same_bucket(context: Context) -> bool:
    """The bucket and the customer's key may only change while nothing relies on them. Says whether they did."""
    old = read_json(context.places.settings) or {}
    before, now = old.get("store", {}), context.settings.store
    rekeyed = before and before.get("sse_customer_key", "") != now.sse_customer_key
    moved = before and (before["endpoint"], before["bucket"]) != (now.endpoint, now.bucket)
    if not moved and not rekeyed:
        return False
    if rekeyed and context.journal.phase not in ("local", "prepare"):
        raise Problem(
            f"store.sseCustomerKey changed in phase {context.journal.phase}, and nothing could be read without the old",
            "set the old one back, and phase to prepare: the media come home, and can be copied with the new one then",
        )
    if moved and context.journal.phase not in ("local", "prepare"):
        raise Problem(
            f"store.bucket changed from {before['bucket']} to {now.bucket} in phase {context.journal.phase}",
            "set phase to prepare first: the media comes back, and can then go to the other bucket",
        )
    return True


def check_told_bucket(places: Places, document: dict[str, Any]) -> None:
    """`Problem` if what is to be emptied is not the bucket that this server used."""
    used, told = (read_json(places.settings) or {}).get("store", {}), document.get("store", {})
    if used and (used["endpoint"], used["bucket"]) != (told.get("endpoint"), told.get("bucket")):
        raise Problem(
            f"this server used bucket {used['bucket']} at {used['endpoint']}, and is told to empty "
            f"{told.get('bucket')} at {told.get('endpoint')}",
            "set the store back to the one that was used, run pulumi up, then destroy",
        )


def install_mount(context: Context, document: dict[str, Any]) -> None:
    """Programs, credentials and units. Where the bucket serves already, `remount` in the facts says so.

    What is true if the power fails: the running mount has the files it started with, and the journal says
    that it is to be mounted anew; the next run does so. Files that do not serve are taken back.
    """
    handover.check_change(Context.load(context.places), context)
    preflight.run(context)
    if check_same_bucket(context):
        _hand_over(context)
    install_packages(context)
    before = mount.read_files(context)
    mount.keep_earlier(context, before)
    journal = context.journal
    # In the journal first: were this run killed, the next would find nothing changed, and a mount on the old files.
    pending = journal.facts.get("remount", False)
    journal.facts["remount"] = True
    context.save()
    changed = mount.install(context)
    new = pending or bool(changed & mount.serving_files(context))
    if new:
        try:
            _try(context)
        except BaseException:
            mount.bring_earlier_back(context)
            journal.facts["remount"] = pending
            context.save()
            raise
    # Where the playbook's mount serves, they were tried all the same: ours takes its place again some day.
    journal.facts["remount"] = new and mount.ours_serves(context)
    context.save()
    if not journal.facts["remount"]:
        context.places.earlier.unlink(missing_ok=True)
    keep(context.places, {name: document[name] for name in ("store", "mount")})
    context.say("the mount, its keys, its units and the guard are in place" + ("" if changed else " (nothing new)"))


def _hand_over(context: Context) -> None:
    """From the bucket or customer's key that was used before to another, while nothing relies on either.

    The mark of ownership is read with the old key, since the new one cannot.
    """
    if context.journal.phase == "prepare":
        old = Context.load(context.places)
        same = (old.settings.store.endpoint, old.settings.store.bucket) == (
            context.settings.store.endpoint,
            context.settings.store.bucket,
        )
        if same:
            owner.release(old)
        owner.claim(context)
    context.places.manifest.unlink(missing_ok=True)


def _try(context: Context) -> None:
    """New settings must serve at the staging path before the media store depends on them."""
    if context.journal.serving == "bucket":
        try:
            mount.stop_staging(context)
            mount.start_staging(context)
            proof.read_sample(context, context.places.staging)
            proof.write_probe(context, context.places.staging)
        finally:
            mount.stop_staging(context)
    elif context.journal.phase in ("prepare", "mirror"):
        mount.stop_staging(context)
        mount.start_staging(context)


def uninstall(context: Context, everything: bool) -> None:
    """Take the mount away; with `everything`, the agent too. The store must be local."""
    if context.journal.serving != "local":
        raise Problem("the media store still lives in the bucket", "run pulumi up with phase prepare first")
    handover.check_gone(context)
    mount.remove(context)
    context.journal.facts.pop("repairs", None)  # nothing of the mount is expected here any more
    context.save()
    if everything:
        status_keys.remove(context)
        for folder in (context.places.etc, context.places.var, context.places.lib):
            if folder.exists():
                shutil.rmtree(folder)
                sync_folder(folder.parent)
        context.say("the agent is gone; the media store is local")
