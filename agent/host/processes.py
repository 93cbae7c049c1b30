"""This module runs programs, runs actions as another user, and waits."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from ..model.errors import CommandFailed

T = TypeVar("T")

#: Seconds for which a child that answered, or was killed, may take to end.
REAP_SECONDS = 1.0


def as_owner(argv: Sequence[str], uid: int, gid: int) -> list[str]:
    """Return the command that runs a program with the rights of that user and group on files, and no further ones.

    Its real user stays root, so that the user's own processes can read neither its environment nor its memory, where
    keys are: https://man7.org/linux/man-pages/man2/ptrace.2.html. They may stop it, so whoever runs it bounds its
    silence. The program itself must be trusted: it could make itself root again, though without capabilities.
    """
    if uid == os.geteuid():
        return list(argv)
    return [
        "setpriv", f"--euid={uid}", f"--rgid={gid}", f"--egid={gid}", "--clear-groups",
        "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", *argv,
    ]  # fmt: skip


class Processes:
    """This class runs programs and actions on this server."""

    def run(
        self,
        argv: Sequence[str],
        timeout: float | None = None,
        check: bool = True,
        stdin: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program, which reads the open file `stdin` if one is given, and return its standard output.

        It has the agent's own environment, unless another one is given.

        Raises CommandFailed where `check` is set and it ends with another exit status than 0, and
        subprocess.TimeoutExpired after `timeout` seconds.
        """
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            errors="replace",
            env=environment,
        )
        if check and done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def succeeds(self, argv: Sequence[str]) -> bool:
        """Run a program, and return whether its exit status is 0."""
        return subprocess.run(list(argv), stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    def as_user(self, uid: int, gid: int, action: Callable[[], T], timeout: float = 30) -> T:
        """Return what `action` returns in a child process of that user and group, within `timeout` seconds.

        The time is bounded since a dead mount may hang. What `action` returns must be plain values: it comes back as
        text. Raises OSError with what the child met, and TimeoutError where it did not answer.
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

    def processes(self, command: bytes) -> list[Path]:
        """Return the folders in /proc of the processes whose command line has a match of that regular expression."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):  # it ended
                    if re.search(command, (folder / "cmdline").read_bytes()):
                        found.append(folder)
        return found

    def wait_until(self, condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        """Return whether `condition` came true within `seconds`; it is asked each `every` seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(every)
        return True

    def pause(self, seconds: float) -> None:
        """Do nothing for that many seconds."""
        time.sleep(seconds)

    def sync(self) -> None:
        """Return once all that was written is on disk."""
        os.sync()


def _reap(child: int) -> None:
    """Take note of a child's end, which comes right after its answer; one stuck in a dead mount is left to init."""
    deadline = time.monotonic() + REAP_SECONDS
    while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < deadline:
        time.sleep(0.0005)


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
        _reap(child)
    if not chunks:
        raise OSError("the check ended without an answer")
    verdict, value = ast.literal_eval(b"".join(chunks).decode())
    if verdict == "error":
        raise OSError(value)
    return value
