"""The thin layer that executes: processes, systemd, mounts. Everything else decides."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from .mountinfo import mounts

T = TypeVar("T")

#: How long a step may take to stop or start the services before it is called a failure.
SERVICE_TIMEOUT_SECONDS = 300


#: States in which a unit may still work; one that is stopping is waited for like the others.
RUNNING = ("active", "activating", "reloading", "deactivating")

#: More mounts over each other than a path ever has.
MOST_LAYERS = 20

#: The source of a mount that is there so that nobody can write; see `handover`.
COVER = "matrix-media-store-cover"


class CommandFailed(Exception):
    """A program's failure, with the end of what it printed (programs get secrets in files, never print them)."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        tail = " | ".join(output.strip().splitlines()[-3:])[-600:]
        super().__init__(f"{Path(argv[0]).name} {argv[1] if len(argv) > 1 else ''} ended with status {status}: {tail}")
        self.status = status


class System:
    """This server."""

    def run(self, argv: Sequence[str], timeout: float | None = None, check: bool = True) -> str:
        """The program's standard output; `CommandFailed` on another exit status than 0."""
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            errors="replace",
        )
        if check and done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def succeeds(self, argv: Sequence[str]) -> bool:
        return subprocess.run(list(argv), stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        return self.run(["systemctl", *arguments], timeout=SERVICE_TIMEOUT_SECONDS, check=check)

    def is_active(self, unit: str) -> bool:
        return self.succeeds(["systemctl", "is-active", "--quiet", unit])

    def units(self, patterns: Sequence[str]) -> dict[str, str]:
        """Units that are loaded and match, with their active state."""
        listing = self.run(
            ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "--no-pager", *patterns]
        )
        found = {}
        for line in listing.splitlines():
            unit, load, active = line.split()[:3]
            if load == "loaded":
                found[unit] = active
        return found

    def queued(self, patterns: Sequence[str]) -> set[str]:
        """Units that match and wait for others before they start."""
        jobs = self.run(["systemctl", "list-jobs", "--plain", "--no-legend", "--no-pager"])
        waiting = {words[1] for words in map(str.split, jobs.splitlines()) if words[2:3] == ["start"]}
        return {unit for unit in waiting if any(fnmatch(unit, pattern) for pattern in patterns)}

    def stop(self, units: Sequence[str], timeout: float = SERVICE_TIMEOUT_SECONDS) -> None:
        """Stop units together and wait until they are down; subprocess.TimeoutExpired where they take longer."""
        if units:
            self.run(["systemctl", "stop", *units], timeout=timeout)

    def start(self, units: Sequence[str], wait: bool = True, timeout: float = SERVICE_TIMEOUT_SECONDS) -> None:
        """Start units, and `wait` until they run; subprocess.TimeoutExpired where they take longer."""
        if units:
            self.run(["systemctl", "start", *([] if wait else ["--no-block"]), *units], timeout=timeout)

    def mounted(self, path: Path) -> bool:
        """Whether something is mounted exactly at `path`; dead FUSE mounts count, a cover does not."""
        layers = self.layers(path)
        return bool(layers) and layers[-1] != COVER

    def layers(self, path: Path) -> list[str]:
        """The sources of all that is mounted exactly at `path`, what is seen there as the last."""
        # The kernel names places by their real folders; the mount point itself is not followed, it may hang.
        wanted = os.path.join(os.path.realpath(path.parent), path.name)
        return [mount.source for mount in mounts() if mount.place == wanted]

    def unmount(self, path: Path) -> None:
        """Take every mount off `path`; lazily, since containers may still hold copies of it.

        `CommandFailed` where one stays; that another process took one off first is none.
        """
        umount = ["umount", "--lazy", str(path)]
        for _ in range(MOST_LAYERS):
            if not self.layers(path):
                return
            self.run(umount, check=False)
        if self.layers(path):
            self.run(umount)

    def as_user(self, uid: int, gid: int, action: Callable[[], T], timeout: float = 30) -> T:
        """Run `action` in a child with another user's rights, bounded in time: a dead mount may hang.

        Raises OSError with what the child met, TimeoutError where it did not answer.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.closerange(3, writer)  # locks and connections are the parent's
            os.closerange(writer + 1, 1024)
            try:
                if os.getuid() == 0 and (uid, gid) != (0, 0):
                    os.setgroups([])
                    os.setgid(gid)
                    os.setuid(uid)
                answer = repr(("ok", action()))
            except OSError as error:
                answer = repr(("error", f"{error.strerror}"))
            except BaseException as error:  # the child must answer and end, whatever happened
                answer = repr(("error", f"{type(error).__name__}"))
            with os.fdopen(writer, "w") as pipe:
                pipe.write(answer)
            os._exit(0)
        os.close(writer)
        given: T = _answer(reader, child, timeout)
        return given

    def wait_until(self, condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        """Whether `condition` came true within `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(every)
        return True

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def sync(self) -> None:
        os.sync()


def _answer(reader: int, child: int, timeout: float) -> Any:
    import ast
    import select
    import signal

    try:
        chunks = []
        deadline = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                raise TimeoutError(f"no answer within {timeout:.0f} s")
            block = os.read(reader, 1 << 16)
            if not block:
                break
            chunks.append(block)
    finally:
        os.close(reader)
        # A child stuck in a dead mount cannot be reaped now; init does it later.
        os.waitpid(child, os.WNOHANG)
    if not chunks:
        raise OSError("the check ended without an answer")
    verdict, value = ast.literal_eval(b"".join(chunks).decode())
    if verdict == "error":
        raise OSError(value)
    return value
