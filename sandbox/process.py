"""Long-running programs of the sandbox: started once, found again, ended by id."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .world import LOGS, NAME, RUN

#: Children of this process, kept so that they are reaped.
_CHILDREN: dict[str, subprocess.Popen[bytes]] = {}


def _pidfile(name: str) -> Path:
    return RUN / f"{name}.pid"


def pid(name: str) -> int | None:
    """The process's id while it runs; the start time guards against an id that was given anew."""
    child = _CHILDREN.get(name)
    if child and child.poll() is not None:
        return None
    try:
        number, started = _pidfile(name).read_text().split()
        return int(number) if _started(int(number)) == started else None
    except (OSError, ValueError):
        return None


def _started(number: int) -> str:
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]


def start(
    name: str, argv: Sequence[str | Path], env: dict[str, str] | None = None, *, apart: bool = False
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output in a log file; `apart`, in control groups of its own."""
    RUN.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    groups = _control_groups() if apart else []  # two servers in one would end each other's units
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=lambda: _join(groups),
        )  # fmt: skip
    _pidfile(name).write_text(f"{process.pid} {_started(process.pid)}")
    _CHILDREN[name] = process
    return process


def _control_groups() -> list[Path]:
    """Make control groups for one program below this process's own, and return them.

    https://man7.org/linux/man-pages/man7/cgroups.7.html
    """
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = {frozenset(names.split(",")): path.lstrip("/") for _, names, path in (line.split(":", 2) for line in lines)}
    made = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split()
        told = {""} if kind == "cgroup2" else {*options.split(",")}
        path = next((path for names, path in own.items() if names <= told), None)
        if kind not in ("cgroup", "cgroup2") or path is None:
            continue
        above = Path(left.split()[4]) / path
        group = above / NAME
        with contextlib.suppress(OSError):  # a hierarchy that is not ours to use
            group.mkdir(exist_ok=True)
            for each in ("cpuset.cpus", "cpuset.mems"):  # a group without takes no process
                if (group / each).exists() and kind == "cgroup":
                    (group / each).write_text((above / each).read_text())
            made.append(group)
            if kind == "cgroup2":
                _remove(group / "payload")
    return made


def _remove(group: Path) -> None:
    """Take away what a server left that was killed: a group that was frozen would freeze what comes into it."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # in use
            os.rmdir(folder)


def _join(groups: Sequence[Path]) -> None:
    for group in groups:
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text("0")  # this process


def await_http(name: str, address: str, port: int, seconds: float = 60) -> None:
    """Return once the program answers over HTTP, whatever it answers."""
    deadline = time.monotonic() + seconds
    while not 0 < status(address, port, "/") < 500:
        if time.monotonic() > deadline:
            raise SystemExit(f"sandbox: {name} does not answer; see .sandbox/logs/{name}.log")
        time.sleep(0.1)


def status(address: str, port: int, path: str) -> int:
    """The status with which a program answers over HTTP; 0 where it does not."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def stop(name: str, kind: int = signal.SIGTERM, seconds: float = 60) -> None:
    """End the program, and wait until it has; kill it after `seconds`."""
    number = pid(name)
    if number is None:
        return
    handle = os.pidfd_open(number)
    try:
        for this, patience in ((kind, seconds), (signal.SIGKILL, 30.0)):
            signal.pidfd_send_signal(handle, this)
            if _ended(handle, patience):
                break
    finally:
        os.close(handle)
    _pidfile(name).unlink(missing_ok=True)
    if name in _CHILDREN:
        _CHILDREN.pop(name).wait()


def wait(number: int, seconds: float = 30) -> None:
    """Wait until a process that was told to end has ended."""
    try:
        handle = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        _ended(handle, seconds)
    finally:
        os.close(handle)


def _ended(handle: int, seconds: float) -> bool:
    import select

    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
