"""The bucket mounted as a folder, under systemd: at the staging path or at the media store."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import urllib.request
from pathlib import Path

from . import mount_programs
from .context import Context
from .copying import write_rclone_conf
from .errors import Problem
from .files import read_json, sync_folder, write_atomic, write_json
from .places import MOUNT_UNIT, RECOVER_UNIT, RESERVED_PREFIX, STAGING_UNIT
from .services import install_guard, patterns, remove_guard
from .settings import MountSettings
from .system import CommandFailed
from .templates import quote, render

#: How long a mount may take to answer, with retries of the store behind it.
ANSWER_SECONDS = 60


def unit_text(context: Context, where: Path, description: str) -> bytes:
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
        parent=quote(str(_final(context).parent)),
    )


def unit_files(context: Context) -> dict[str, bytes]:
    """Our own units, by name."""
    places = context.places
    services = " ".join(name for name in patterns(context) if "*" not in name and name.endswith(".service"))
    recover = render(
        "recover.service", agent=str(places.agent), before=services, parent=quote(str(_final(context).parent))
    )
    return {
        STAGING_UNIT: unit_text(context, places.staging, "Matrix media store's bucket, at the staging path"),
        MOUNT_UNIT: unit_text(context, _final(context), "Matrix media store, from its bucket"),
        RECOVER_UNIT: recover,
    }


def fetch_goofys(target: Path, mount: MountSettings) -> bool:
    """Put the pinned goofys in place. Raises `Problem` where it is not the file that was pinned."""
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == mount.goofys_sha256:
        return False
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


def installed(context: Context) -> bool:
    return context.places.credentials.exists()


def install(context: Context) -> bool:
    """Programs, credentials, units and guard; starts and stops nothing. Says whether anything changed."""
    places, store = context.places, context.settings.store
    places.staging.mkdir(parents=True, exist_ok=True)
    places.var.chmod(0o711)  # the homeserver's user passes through to the staging path; files in it are 0600
    changed = [
        context.settings.mount.program == "goofys" and fetch_goofys(places.goofys, context.settings.mount),
        write_rclone_conf(places, store),
        write_atomic(places.credentials, mount_programs.environment(store).encode(), 0o600),
        *(write_atomic(places.units / name, text, 0o644) for name, text in unit_files(context).items()),
        install_guard(context),
    ]
    if any(changed):
        context.system.systemctl("daemon-reload")
    context.system.systemctl("enable", "--quiet", RECOVER_UNIT)
    return any(changed)


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


def check_allowed(context: Context, where: Path) -> None:
    """`Problem` if the bucket is about to be mounted over a local media store that serves."""
    if where == _final(context) and context.journal.serving == "local":
        raise Problem(
            f"{where} is the local media store, and it serves", "the bucket is mounted there in phase live only"
        )


def remove(context: Context) -> None:
    """Take away all that `install` put there. The store must be local."""
    stop_staging(context)
    remove_guard(context)
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
    except CommandFailed:
        raise Problem(
            f"{unit} does not start: {trouble(context, where) or 'the mount ended'}",
            f"see journalctl -u {unit} on the server",
        ) from None
    check_answers(context, where)


def start_staging(context: Context) -> None:
    """Mount the bucket at the staging path and see it answer to the media store's owner."""
    _start(context, STAGING_UNIT, context.places.staging)


def stop_staging(context: Context) -> None:
    if (context.places.units / STAGING_UNIT).exists():
        context.system.stop([STAGING_UNIT])
    context.system.unmount(context.places.staging)


def start_final(context: Context) -> None:
    """Mount the bucket as the media store, now and at each boot."""
    context.system.systemctl("enable", "--quiet", MOUNT_UNIT)
    _start(context, MOUNT_UNIT, _final(context))


def stop_final(context: Context) -> None:
    context.system.systemctl("disable", "--quiet", MOUNT_UNIT)
    wants = context.places.units / "multi-user.target.wants"
    if wants.is_dir():
        sync_folder(wants)  # a power loss must not bring the mount back at boot
    context.system.stop([MOUNT_UNIT])
    context.system.unmount(_final(context))


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


def _look(path: Path) -> None:
    """Raises the OSError that a dead or forbidden mount gives; that there is no such file is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)


def trouble(context: Context, where: Path, timeout: float = 20) -> str:
    """Why the bucket does not serve at `where` to the media store's owner; empty where it does.

    Asks for a name never asked for before, so that goofys must ask the store. rclone asks it once, when
    it looks into a folder for the first time.
    """
    if not context.system.mounted(where):
        return "nothing is mounted there"
    name = f"{RESERVED_PREFIX}is-it-there-{secrets.token_hex(8)}"
    uid, gid = context.owner
    try:
        context.system.as_user(uid, gid, lambda: _look(where / name), timeout)
    except OSError as error:  # TimeoutError too
        return str(error)
    return ""


def check_answers(context: Context, where: Path, process: int | None = None) -> None:
    """Return once the mount at `where` answers; `Problem` if it does not in time, or its process ended."""
    reason = "nothing is mounted there"

    def fine() -> bool:
        nonlocal reason
        reason = trouble(context, where)
        if reason and process and not Path(f"/proc/{process}").exists():
            raise Problem("the mount ended", "the lines before this one say why")
        return not reason

    if not context.system.wait_until(fine, ANSWER_SECONDS):
        raise Problem(
            f"the bucket mounted at {where} does not answer: {reason}",
            f"see journalctl -u {MOUNT_UNIT} -u {STAGING_UNIT} on the server",
        )
