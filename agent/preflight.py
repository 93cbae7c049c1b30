"""Checks before anything changes. Each failure is one line that says what is wrong and how to mend it."""

from __future__ import annotations

import datetime
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from . import handover, services
from .context import Context
from .errors import Problem, Problems
from .files import read_json
from .s3 import StoreError

#: S3 refuses requests that are further off than 15 minutes; a third of it leaves room for drift.
CLOCK_SECONDS = 300
#: Free space that must remain on any disk the agent writes to, in bytes.
SPARE_BYTES = 256 << 20
#: The version of systemd since which a unit that is skipped by ExecCondition= does not fail those that require it
#: (systemd's issue 18207).
CONDITIONS_SINCE = 248


def check_python() -> None:
    if sys.version_info < (3, 9):
        raise Problem(
            f"Python on the server is {sys.version.split()[0]}, and 3.9 or newer is needed",
            "install python3.9 or newer as python3 (Debian 11, Ubuntu 20.10, RHEL 9 and newer have it)",
        )


def check_root() -> None:
    if os.geteuid() != 0:
        raise Problem(
            "the agent does not run as root",
            "set server.user to root, or give the user sudo without password",
        )


def check_systemd() -> None:
    if not Path("/run/systemd/system").is_dir():
        raise Problem("the server was not booted with systemd", "only servers with systemd are supported")


def check_conditions(context: Context) -> None:
    """The drop-in for the playbook's mount has a condition: an older systemd would pass it over."""
    version = context.system.run(["systemctl", "--version"]).split()[1]
    if int(version) < CONDITIONS_SINCE:
        raise Problem(
            f"systemd {version} is too old for mount.managedBy: playbook, which needs {CONDITIONS_SINCE} or newer",
            "leave mount.managedBy out: this program's own mount needs nothing of the kind",
        )


def check_fuse() -> None:
    if not Path("/dev/fuse").exists():
        raise Problem("/dev/fuse is missing", "load the module (modprobe fuse); in a container, give it the device")


def check_media_store(context: Context) -> None:
    """The local store is a folder that is no mount, and no earlier backup is in the way."""
    store, backup = context.settings.host.store_path, context.settings.host.backup_path
    if context.system.mounted(store):
        raise Problem(
            f"{store} is a mount already",
            "undo the earlier migration or mount first: this program moves a local folder",
        )
    if not store.is_dir() or store.is_symlink():
        raise Problem(f"{store} is not a folder", "set host.mediaStore to Synapse's media_store_path on the server")
    if os.path.lexists(backup):
        raise Problem(f"{backup} exists already", "it may be an earlier migration's copy: move it elsewhere first")
    if store.stat().st_uid == 0:
        raise Problem(f"{store} belongs to root", "give it to the homeserver's user, as the playbook does")


def check_space(context: Context) -> None:
    context.places.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(context.places.var).free
    if free < SPARE_BYTES:
        raise Problem(
            f"{free >> 20} MiB are free at {context.places.var}, and {SPARE_BYTES >> 20} MiB are needed",
            "free some space on that disk",
        )


def check_bucket(context: Context) -> None:
    """The bucket answers to these credentials from this server, and the clocks agree."""
    store = context.settings.store
    try:
        theirs = context.bucket.date()
        off = abs((datetime.datetime.now(datetime.timezone.utc) - theirs).total_seconds())
        if off > CLOCK_SECONDS:
            raise Problem(
                f"the server's clock is {off / 60:.0f} minutes off the clock of {store.endpoint}",
                "set the clock (timedatectl set-ntp true): S3 refuses signed requests otherwise",
            )
        _wait_for_key(context)
    except StoreError as error:
        raise Problem(
            f"bucket {store.bucket} at {store.endpoint} answers {error.status} {error.code}", _remedy(error)
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise Problem(
            f"{store.endpoint} cannot be reached from the server: {error}",
            "check store.endpoint, the server's DNS, firewall and CA certificates",
        ) from None


def _wait_for_key(context: Context) -> None:
    """The bucket lists; a key that was made just now may be refused for a while. Raises StoreError."""
    store, refusal = context.settings.store, None
    known = (read_json(context.places.settings) or {}).get("store", {}).get("access_key_id")
    patience = store.key_patience if known != store.access_key_id else 0

    def lists() -> bool:
        nonlocal refusal
        try:
            next(context.bucket.list(attempts=2, page=1), None)
        except StoreError as error:
            if error.status != 403 or not patience:
                raise
            if refusal is None:
                context.say(f"the new key is not known everywhere yet: waiting for up to {patience} s")
            refusal = error
            return False
        return True

    if not context.system.wait_until(lists, patience, every=1):
        assert refusal is not None
        raise refusal


def _remedy(error: StoreError) -> str:
    if error.code == "NoSuchBucket":
        return "create it, or correct store.bucket"
    if error.status == 403:
        return "check store.accessKeyId and store.secretAccessKey, and that they may list, read and write this bucket"
    return "check store.endpoint and store.region"


def check_homeserver(context: Context) -> None:
    url = context.settings.host.homeserver_url
    if not homeserver_answers(url):
        raise Problem(
            f"the homeserver does not answer at {url}/_matrix/client/versions",
            "start it, or set host.homeserverUrl to an address that answers from the server",
        )


def homeserver_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_matrix/client/versions", timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return False


def all_checks(context: Context) -> list[Callable[[], object]]:
    """The checks for the state the server is in: a store that lives in the bucket is a mount, rightly."""
    checks: list[Callable[[], object]] = [
        check_python,
        check_root,
        check_systemd,
        lambda: check_space(context),
        lambda: check_bucket(context),
    ]
    if handover.agreed(context):
        checks.append(lambda: check_conditions(context))
    if context.journal.serving == "local" and context.journal.phase == "local":
        checks += [
            check_fuse,  # later it must not stand in the way home, which needs the bucket only
            lambda: check_media_store(context),
            lambda: services.required(context),
            lambda: check_homeserver(context),
        ]
    return checks


def run(context: Context) -> None:
    """Every check; all failures at once."""
    problems = []
    for check in all_checks(context):
        try:
            check()
        except Problem as problem:
            problems.append(problem)
    if problems:
        raise Problems(problems)
