"""This module checks the server before anything changes.

Each failure is one line that says what is wrong and its remedy.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..copying import trial
from ..host.files import SPARE_BYTES
from ..model.errors import CommandFailed, Problem, Problems, StoreError, StoreUnavailable
from ..model.phases import Phase, Side
from ..serving import earlier_checks, earlier_mount, metrics, playbook, writers
from ..state.run import Run, Server, known_settings
from ..store.bucket import STORE_TROUBLE
from . import local_store

if TYPE_CHECKING:
    from ..model.ports import Homeserver, Say, System

#: What the units run the agent with.
UNITS_PYTHON = "/usr/bin/python3"
#: S3 refuses requests that are further off than 15 minutes; a third of it leaves room for drift.
#: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
CLOCK_SECONDS = 300
#: The version of systemd since which a unit that is skipped by ExecCondition= does not fail those that require it
#: (systemd's issue 18207).
CONDITIONS_SINCE = 248


def check_python(system: System) -> None:
    """Raise `Problem` where the Python that the units run is missing, or too old for the agent.

    The one that runs this check may be another one, which the session finds first.
    """
    try:
        version = system.run([UNITS_PYTHON, "-c", "import sys; print(*sys.version_info[:3])"]).split()
    except (OSError, CommandFailed):
        version = []
    if len(version) != 3 or (int(version[0]), int(version[1])) < (3, 9):
        raise Problem(
            f"{UNITS_PYTHON} on the server is {'.'.join(version) or 'missing'}, and 3.9 or newer is needed there",
            "install python3.9 or newer as python3 (Debian 11, Ubuntu 20.10, RHEL 9 and newer have it)",
        )


def check_root() -> None:
    """Raise `Problem` where the agent does not run as root."""
    if os.geteuid() != 0:
        raise Problem(
            "the agent does not run as root",
            "set server.user to root, or give the user sudo without password",
        )


def check_systemd() -> None:
    """Raise `Problem` where the server was not booted with systemd."""
    if not Path("/run/systemd/system").is_dir():
        raise Problem("the server was not booted with systemd", "only servers with systemd are supported")


def check_conditions(system: System) -> None:
    """Raise `Problem` where systemd would pass over the condition in the drop-in for the playbook's mount."""
    version = system.run(["systemctl", "--version"]).split()[1]
    if int(version) < CONDITIONS_SINCE:
        raise Problem(
            f"systemd {version} is too old for mount.managedBy: playbook, which needs {CONDITIONS_SINCE} or newer",
            "leave mount.managedBy out: this program's own mount needs nothing of the kind",
        )


def check_fuse() -> None:
    """Raise `Problem` where the kernel mounts no FUSE file systems."""
    if not Path("/dev/fuse").exists():
        raise Problem("/dev/fuse is missing", "load the module (modprobe fuse); in a container, give it the device")


def check_space(server: Server) -> None:
    """Raise `Problem` where the disk of the agent's own files has less than SPARE_BYTES free."""
    where = next(path for path in (server.layout.var, *server.layout.var.parents) if path.exists())
    free = shutil.disk_usage(where).free
    if free < SPARE_BYTES:
        raise Problem(
            f"{free >> 20} MiB are free at {where}, and {SPARE_BYTES >> 20} MiB are needed",
            "free some space on that disk (journalctl --vacuum-size=100M, apt-get clean, docker image prune); see 'My "
            "disk is full' in docs/runbook.md",
        )


def check_programs(server: Server) -> None:
    """Raise `Problem` where a program that is put beside the agent does not run on this server's processor."""
    server.programs  # noqa: B018 - it is the question


def check_bucket(server: Server, say: Say) -> None:
    """Raise `Problem` unless the bucket answers to these credentials from this server, and the clocks agree.

    A key that was made just now is waited for, with a bound.
    """
    store = server.settings.store
    try:
        theirs = server.bucket.date()
        off = abs((datetime.datetime.now(datetime.timezone.utc) - theirs).total_seconds())
        if off > CLOCK_SECONDS:
            raise Problem(
                f"the server's clock is {off / 60:.0f} minutes off the clock of {store.endpoint}",
                "set the clock (timedatectl set-ntp true): S3 refuses signed requests otherwise",
            )
        _wait_for_key(server, say)
    except STORE_TROUBLE as error:
        if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):
            raise Problem(
                f"bucket {store.bucket} at {store.endpoint} answers {error.answer}", trial.remedy(error)
            ) from None
        raise Problem(
            f"{store.endpoint} cannot be reached from the server: {error}",
            "check store.endpoint, the server's DNS, firewall and CA certificates",
        ) from None


def _wait_for_key(server: Server, say: Say) -> None:
    """Return once the bucket can be listed; a key that was made just now may be refused for a while.

    Raises StoreError.
    """
    store, refusal = server.settings.store, None
    known = known_settings(server.layout).get("store", {}).get("access_key_id")
    patience = store.key_patience if known != store.access_key_id else 0

    def lists() -> bool:
        nonlocal refusal
        try:
            next(server.bucket.list(attempts=2, page=1), None)
        except StoreError as error:
            if error.status != 403 or not patience:
                raise
            if refusal is None:
                say(f"the new key is not known everywhere yet: waiting for up to {patience} s")
            refusal = error
            return False
        return True

    if not server.system.wait_until(lists, patience, every=1):
        assert refusal is not None
        raise refusal


def check_homeserver(homeserver: Homeserver, url: str) -> None:
    """Raise `Problem` where the homeserver does not answer now; `url` is its address."""
    if trouble := homeserver.trouble():
        raise Problem(
            f"the homeserver does not answer at {url}/_matrix/client/versions as it should, asked from the server: "
            f"{trouble}",
            "start it if it is down; else set host.homeserverUrl to an address that reaches it directly from the "
            "server, such as http://127.0.0.1:8008 (behind a NAT the public one may not; a proxy may refuse programs)",
        )


#: One check: it raises `Problem`.
Check = Callable[[], object]


def read_only_checks(run: Run) -> list[Check]:
    """Return the checks that change nothing, for the state that the server is in; a preview asks them too.

    Those of the local store are for phase local only.
    """
    server, journal = run.server, run.journal
    checks: list[Check] = [
        lambda: check_python(server.system),
        check_root,
        check_systemd,
        lambda: check_programs(server),
        lambda: check_space(server),
        lambda: metrics.check(server),
    ]
    if server.settings.store.endpoint:  # else it is not made yet
        checks.append(lambda: check_bucket(server, run.say))
    if playbook.may_mount(server):
        checks.append(lambda: check_conditions(server.system))
    if journal.serving is Side.LOCAL and journal.phase is Phase.LOCAL:
        checks += [
            check_fuse,  # later it must not stand in the way home, which needs the bucket only
            lambda: writers.required(server),
            lambda: check_homeserver(run.homeserver, server.settings.host.homeserver_url),
        ]
        if earlier_mount.is_due(server, journal):
            checks.append(lambda: earlier_checks.check(server))
        else:
            checks += [lambda: local_store.check_media_store(server), lambda: local_store.check_store_in_use(run)]
    return checks


def all_checks(run: Run) -> list[Check]:
    """Return the checks that nothing may be changed without."""
    checks = read_only_checks(run)
    if run.journal.phase is Phase.LOCAL and not earlier_mount.is_due(run.server, run.journal):
        checks.append(lambda: local_store.check_renames(run.server))
    return checks


def problems(checks: Sequence[Check]) -> list[Problem]:
    """Run these checks, and return what they found."""
    found = []
    for each in checks:
        try:
            each()
        except Problem as problem:
            found.append(problem)
    return found


def check(run: Run) -> None:
    """Run every check. Raises `Problems` with all that failed."""
    if found := problems(all_checks(run)):
        raise Problems(found)
