"""The bucket mounted as a folder, under systemd: at the staging path or at the media store."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import subprocess
import urllib.request
from pathlib import Path

from . import answers, handover, mount_programs
from .context import Context
from .copying import rclone_conf
from .errors import Problem
from .files import read_json, sync_folder, write_atomic, write_json
from .places import MOUNT_UNIT, RECOVER_UNIT, STAGING_UNIT, WATCHDOG_UNIT
from .services import guard_files, patterns, remove_guard, running
from .settings import MountSettings
from .system import CommandFailed
from .templates import quote, render

#: Where goofys is published; for one processor only.
PUBLISHED = "github.com/kahing/goofys/releases"


def unit_text(context: Context, where: Path, description: str, condition: str = "") -> bytes:
    uid, gid = context.owner
    settings = context.settings
    return render(
        "mount.service",
        description=description,
        credentials=str(context.places.credentials),
        command=mount_programs.command(settings.mount.program, context.places, settings.store, where, uid, gid),
        where=quote(str(where)),
        agent=str(context.places.agent),
        memory=settings.mount.memory_max,
        condition=condition,
        parent=quote(str(_final(context).parent)),
    )


def unit_files(context: Context) -> dict[str, bytes]:
    """Our own units, by name."""
    places = context.places
    services = " ".join(name for name in patterns(context) if "*" not in name and name.endswith(".service"))
    parent = quote(str(_final(context).parent))
    return {
        STAGING_UNIT: unit_text(context, places.staging, "Matrix media store's bucket, at the staging path"),
        MOUNT_UNIT: unit_text(
            context,
            _final(context),
            "Matrix media store, from its bucket",
            # There as long as the playbook's mount serves in the place of ours.
            condition=f"ConditionPathExists=!{places.gave_way}",
        ),
        RECOVER_UNIT: render("recover.service", agent=str(places.agent), before=services, parent=parent),
        WATCHDOG_UNIT: render("watchdog.service", agent=str(places.agent), parent=parent),
    }


def planned_files(context: Context) -> dict[Path, tuple[bytes, int]]:
    """All that `install` writes, with its mode, but for the program goofys."""
    places, store = context.places, context.settings.store
    return {
        places.rclone_conf: (rclone_conf(store).encode(), 0o600),
        places.credentials: (mount_programs.environment(store).encode(), 0o600),
        **{places.units / name: (text, 0o644) for name, text in unit_files(context).items()},
        **{path: (text, 0o644) for path, text in guard_files(context).items()},
    }


def serving_files(context: Context) -> set[Path]:
    """What a running mount of ours was started with: where one of these changes, it must be mounted anew."""
    places = context.places
    program = {places.rclone_conf} if context.settings.mount.program == "rclone" else {places.goofys}
    return {places.credentials, places.units / MOUNT_UNIT} | program


def fetch_goofys(target: Path, mount: MountSettings) -> bool:
    """Put the pinned goofys in place. Raises `Problem` where it is not the file that was pinned."""
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == mount.goofys_sha256:
        return False
    if PUBLISHED in mount.goofys_url and os.uname().machine != "x86_64":
        raise Problem(
            f"the published goofys runs on x86_64, and this server is {os.uname().machine}",
            "set mount.program to rclone, or mount.goofysUrl and mount.goofysSha256 to a build of your own",
        )
    try:
        with urllib.request.urlopen(mount.goofys_url, timeout=60) as answer:
            data = answer.read()
    except OSError as error:
        raise Problem(
            f"goofys cannot be had from {mount.goofys_url}: {error}",
            "make that address reachable from the server, or set mount.goofysUrl to file:///path on the server",
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != mount.goofys_sha256:
        raise Problem(
            f"goofys from {mount.goofys_url} has SHA-256 {found}, not {mount.goofys_sha256}",
            "check the download; set mount.goofysSha256 only to the sum of a file you trust",
        )
    return write_atomic(target, data, 0o755)


def _final(context: Context) -> Path:
    return context.settings.host.store_path


def install(context: Context, but_for_the_mount: bool = False) -> set[Path]:
    """Programs, credentials, units and guard; starts and stops nothing. Returns what changed.

    With `but_for_the_mount`, what a running mount was started with stays as it is.
    """
    places = context.places
    places.staging.mkdir(parents=True, exist_ok=True)
    places.var.chmod(0o711)  # the homeserver's user passes through to the staging path; files in it are 0600
    planned = planned_files(context)
    changed = remove_guard(context, keep=guard_files(context))
    left = serving_files(context) if but_for_the_mount else set()
    planned = {path: file for path, file in planned.items() if path not in left}
    wants_goofys = context.settings.mount.program == "goofys" and places.goofys not in left
    if wants_goofys and fetch_goofys(places.goofys, context.settings.mount):
        changed.add(places.goofys)
    for path, (data, mode) in planned.items():
        if write_atomic(path, data, mode):
            changed.add(path)
    for path in guard_files(context):
        path.parent.chmod(0o755)
    if changed:
        context.system.systemctl("daemon-reload")
    context.system.systemctl("enable", "--quiet", RECOVER_UNIT)
    return changed


def ours_serves(context: Context) -> bool:
    return context.journal.serving == "bucket" and handover.serving_unit(context) == MOUNT_UNIT


def units_to_run(context: Context) -> list[str]:
    """Units that must be enabled and run as long as the bucket serves, that of the mount first."""
    return [handover.serving_unit(context), WATCHDOG_UNIT] if context.journal.serving == "bucket" else []


def keep_running(context: Context) -> None:
    """Start again what was stopped or disabled by hand; a watchdog that runs takes up a newer agent."""
    units = units_to_run(context)
    for unit in units:
        context.system.systemctl("enable", "--quiet", unit)
    if units:
        if not context.system.is_active(units[0]):
            services = running(context)
            start_final(context)
            context.system.start(services)  # should a unit that they require have ended with that
        context.system.systemctl("restart", WATCHDOG_UNIT)


def read_files(context: Context) -> dict[Path, bytes | None]:
    """All that `install` may replace, as it is now."""
    places = context.places
    paths = [
        places.goofys,
        places.rclone_conf,
        places.credentials,
        places.settings,
        *(places.units / name for name in unit_files(context)),
    ]
    return {path: path.read_bytes() if path.exists() else None for path in paths}


def write_files(context: Context, files: dict[Path, bytes | None]) -> None:
    """Put back what `read_files` found."""
    for path, data in files.items():
        if data is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, data, path.stat().st_mode & 0o777)
    context.system.systemctl("daemon-reload")


def keep_earlier(context: Context, files: dict[Path, bytes | None]) -> None:
    """Lay what `read_files` found aside, until something newer has proved itself."""
    if not context.journal.facts.get("remount"):  # else what lies there is older, and served
        encoded = {path: None if data is None else base64.b64encode(data).decode() for path, data in files.items()}
        write_json(context.places.earlier, {str(path): text for path, text in encoded.items()})


def bring_earlier_back(context: Context) -> bool:
    """Put the files that were laid aside in place again; says whether there were any."""
    document = read_json(context.places.earlier)
    if document is None:
        return False
    write_files(
        context,
        {Path(path): None if text is None else base64.b64decode(text) for path, text in document.items()},
    )
    return True


def remove(context: Context) -> None:
    """Take away all that `install` put there. The store must be local."""
    stop_staging(context)
    remove_guard(context)
    handover.forget(context)
    for unit in unit_files(context):
        path = context.places.units / unit
        if path.exists():
            context.system.systemctl("disable", "--now", "--quiet", unit)
            path.unlink()
    context.system.systemctl("daemon-reload")
    for path in (context.places.goofys, context.places.rclone_conf, context.places.credentials):
        path.unlink(missing_ok=True)


def _start(context: Context, unit: str, where: Path) -> None:
    try:
        context.system.start([unit])
    except (CommandFailed, subprocess.TimeoutExpired):
        raise Problem(
            f"{unit} does not start: {answers.trouble(context, where) or 'the mount ended'}",
            f"see journalctl -u {unit} on the server",
        ) from None
    answers.check_answers(context, where, lambda: not context.system.is_active(unit))


def start_staging(context: Context) -> None:
    """Mount the bucket at the staging path and see it answer to the media store's owner."""
    _start(context, STAGING_UNIT, context.places.staging)


def stop_staging(context: Context) -> None:
    if (context.places.units / STAGING_UNIT).exists():
        context.system.stop([STAGING_UNIT])
    context.system.unmount(context.places.staging)


def start_final(context: Context) -> None:
    """Mount the bucket as the media store, now and at each boot, and watch over it."""
    unit = _enable_final(context)
    try:
        try:
            _start(context, unit, _final(context))
        except Problem:
            if handover.serving_unit(context) == unit:
                raise
            _start(context, _enable_final(context), _final(context))  # another took over just now
    finally:
        # Last, since it takes time that a window should not; it also brings back a mount that did not come up.
        context.system.start([WATCHDOG_UNIT], wait=False)


def bring_up(context: Context) -> None:
    """The same where nothing may be waited for: while the server boots, and in the guard of a service."""
    context.system.start([_enable_final(context), WATCHDOG_UNIT], wait=False)


def _enable_final(context: Context) -> str:
    """Returns the unit that mounts. Links are all it takes: systemd need not read its units anew in a window."""
    if not handover.there(context.settings, context.places):
        handover.forget(
            context
        )  # else that file would keep ours from starting, and speak of a unit that comes some day
    unit = handover.serving_unit(context)
    context.system.systemctl("enable", "--quiet", "--no-reload", unit, WATCHDOG_UNIT)
    return unit


def stop_final(context: Context) -> None:
    """End ours, now and at each boot; the playbook's may mount on, see `recovery.end_mount`."""
    # Neither fails where somebody removed a unit's file: what matters is what is mounted.
    units = [WATCHDOG_UNIT, MOUNT_UNIT]
    context.system.systemctl("disable", "--quiet", "--no-reload", *units, check=False)
    wants = context.places.units / "multi-user.target.wants"
    if wants.is_dir():
        sync_folder(wants)  # a power loss must not bring the mount back at boot
    with contextlib.suppress(CommandFailed):
        context.system.stop(units)


def make_mount_point(path: Path) -> None:
    """An empty folder that only root may enter: were the mount gone, nobody could write beneath it."""
    path.mkdir(mode=0o000)
    os.chown(path, 0, 0)
    sync_folder(path.parent)


def remove_mount_point(path: Path) -> None:
    """Only if it is an empty folder; anything else is somebody's data and stops here."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
        sync_folder(path.parent)
