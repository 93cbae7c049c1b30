"""This module installs programs that the server lacks, from its own package manager.

rclone is not among them: `model.programs` says which one is put beside the agent.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.errors import CommandFailed, Problem

if TYPE_CHECKING:
    from ..model.ports import Say, System

#: Where the units look for programs.
UNITS_PATH = "/usr/bin:/usr/sbin:/bin:/sbin"
#: What is called on the server: goofys mounts with fusermount, rclone since 1.62 with fusermount3.
PROGRAMS = ("fusermount", "fusermount3", "rsync")


@dataclass(frozen=True)
class PackageManager:
    """This record says how packages are installed, and which packages are not called like their program."""

    install: tuple[str, ...]
    packages: Mapping[str, str]


PACKAGE_MANAGERS = {
    # One package has both, since Debian 11 and Ubuntu 20.10.
    "apt-get": PackageManager(
        ("apt-get", "install", "--yes", "--no-install-recommends"), {"fusermount": "fuse3", "fusermount3": "fuse3"}
    ),
    "dnf": PackageManager(
        ("dnf", "install", "--assumeyes"),
        {"fusermount": "fuse", "fusermount3": "fuse3"},
    ),
    "pacman": PackageManager(
        ("pacman", "--sync", "--noconfirm", "--needed"), {"fusermount": "fuse2", "fusermount3": "fuse3"}
    ),
}


def install_packages(system: System, say: Say) -> None:
    """Install the programs that are missing. Raises `Problem` where that cannot be done.

    One that only this session finds, such as a snap or in /usr/local, is missing: units of systemd do not look there.
    """
    missing = [program for program in PROGRAMS if shutil.which(program, path=UNITS_PATH) is None]
    if not missing:
        return
    name, manager = next(((name, each) for name, each in PACKAGE_MANAGERS.items() if shutil.which(name)), ("", None))
    if manager is None:
        raise Problem(f"{', '.join(missing)} are missing, and no package manager is known here", "install them by hand")
    packages = sorted({manager.packages.get(program, program) for program in missing})
    say(f"installing {', '.join(packages)} with {name}")
    try:
        if name == "apt-get":
            system.run(["apt-get", "update", "--quiet"], timeout=600)
        system.run([*manager.install, *packages], timeout=1800)
    except CommandFailed as error:
        raise Problem(
            f"{', '.join(packages)} cannot be installed: {error}", "install them by hand, then run pulumi up again"
        ) from None
