"""This module freezes and thaws control groups: all their processes stand still, and know nothing of it.

It takes control groups of version 2, which each container has too, whoever started it. A frozen process can be killed,
and gets every other signal once it is thawed. https://docs.kernel.org/admin-guide/cgroup-v2.html#core-interface-files
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .processes import Processes

GROUPS = Path("/sys/fs/cgroup")
#: How often the kernel is asked whether all stand still, in seconds.
LOOK_SECONDS = 0.001
#: The numbers of mkdir(2) and mkdirat(2), by the processor. https://man7.org/linux/man-pages/man2/syscalls.2.html
_MAKE_FOLDERS = {"x86_64": (83, 258), "aarch64": (34,), "riscv64": (34,), "armv7l": (39, 323)}


def group_of(process: str) -> str:
    """Return the path of a process's control group of version 2; it is empty where it has none.

    `process` is its number, or `self`. Raises OSError where it ended.
    """
    with open(f"/proc/{process}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")


def is_within(group: str, above: Iterable[str]) -> bool:
    """Return whether a control group is one of `above`, or below one."""
    return any(group == each or group.startswith(each.rstrip("/") + "/") for each in above)


class ControlGroups(Processes):
    """This class freezes and thaws control groups of this server."""

    def can_freeze(self) -> bool:
        """Return whether this server has control groups that can be frozen: those of version 2."""
        return (GROUPS / "cgroup.controllers").exists()

    def groups_of_units(self, units: Iterable[str]) -> list[str]:
        """Return the control groups of those of the units that have one. Raises CommandFailed."""
        told = self.run(["systemctl", "show", "--property=ControlGroup", "--value", *units])
        return sorted({line for line in told.splitlines() if line})

    def freeze(self, groups: Iterable[str], seconds: float) -> bool:
        """Freeze the groups, and return whether all their processes stand still within `seconds`.

        Raises OSError for a group that is gone.
        """
        groups = list(groups)
        for group in groups:
            _write(group, "1")
        return self.wait_until(lambda: self.are_still(groups), seconds, every=LOOK_SECONDS)

    def frozen(self, groups: Iterable[str]) -> list[str]:
        """Return those of the groups that were told to stand still."""
        return [group for group in groups if _read(group, "cgroup.freeze").strip() == "1"]

    def are_still(self, groups: Iterable[str]) -> bool:
        """Return whether all processes of the groups stand still now; a group that is gone does not."""
        return all("frozen 1" in _read(group, "cgroup.events") for group in groups)

    def making_folders(self, groups: Iterable[str]) -> list[str]:
        """Return the processes of these groups, which stand still, that stopped as they made a folder.

        Who does so opens a file in it next: that folder must be there then. A thread that stands still shows the
        system call in which, or after which, it was stopped, where it is still on its way back from there.
        https://man7.org/linux/man-pages/man5/proc_pid_syscall.5.html
        """
        numbers = _MAKE_FOLDERS.get(os.uname().machine, ())
        found = []
        for process in sorted({number for group in groups for number in _processes(group)}):
            with contextlib.suppress(OSError):  # it ended
                calls = [(task / "syscall").read_text() for task in (Path("/proc") / process / "task").iterdir()]
                if any(call.startswith(tuple(f"{number} " for number in numbers)) for call in calls):
                    found.append(process)
        return found if numbers else []

    def thaw(self, groups: Iterable[str]) -> None:
        """Let the processes of the groups go on; a group that is gone has none."""
        for group in groups:
            with contextlib.suppress(OSError):
                _write(group, "0")


def _processes(group: str) -> Iterator[str]:
    for listed in _folder(group).rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from listed.read_text().split()


def _write(group: str, state: str) -> None:
    (_folder(group) / "cgroup.freeze").write_text(state)


def _read(group: str, name: str) -> str:
    try:
        return (_folder(group) / name).read_text()
    except OSError:  # its last process ended
        return ""


def _folder(group: str) -> Path:
    return GROUPS / group.lstrip("/")
