"""This module names the programs that are put beside the agent, each pinned by the SHA-256 of what is fetched.

It is pure. The distribution's own are not used: they are of any age, and each age has its own way with each store.
"""

from __future__ import annotations

from typing import NamedTuple

from .errors import Problem
from .settings import MountSettings

#: The programs that this module knows.
NAMES = ("goofys", "rclone")
#: Where goofys is published; for one processor only.
GOOFYS_PUBLISHED = "github.com/kahing/goofys/releases"
#: The processor of the published goofys, as uname(2) calls it.
GOOFYS_MACHINE = "x86_64"


class Program(NamedTuple):
    """A `Program` is what to fetch, and by which SHA-256 it is known; it may be a zip archive that has it."""

    name: str
    url: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the name of its file beside the agent: another pin is another file, so none replaces one that runs."""
        return f"{self.name}-{self.sha256[:12]}"


def _published(suffix: str, sha256: str) -> Program:
    address = f"https://github.com/rclone/rclone/releases/download/v1.75.1/rclone-v1.75.1-linux-{suffix}.zip"
    return Program("rclone", address, sha256)


#: rclone as it is published, by processor; the sums are those of its signed list.
#: https://downloads.rclone.org/v1.75.1/SHA256SUMS
RCLONE = {
    "x86_64": _published("amd64", "982b5aa772841168f8e380f139e9e787b2a105403e32b94da8676a0e1c0a13ab"),
    "aarch64": _published("arm64", "03f2504174034b6d004152ed7369251c9a9ec1f7e0836eda420f5c7a5ec0dff9"),
}


def rclone(mount: MountSettings, machine: str) -> Program:
    """Return the rclone for a processor, as uname(2) names it: the stack's own, or the published one.

    Raises `Problem` where none is published for it.
    """
    if mount.rclone_url:
        return Program("rclone", mount.rclone_url, mount.rclone_sha256)
    if machine not in RCLONE:
        raise Problem(
            f"no rclone is pinned for a server with processor {machine}",
            "set mount.rcloneUrl to rclone's zip file for it, or to the program, and mount.rcloneSha256 to its SHA-256",
        )
    return RCLONE[machine]


def goofys(mount: MountSettings, machine: str) -> Program:
    """Return the goofys for a processor. Raises `Problem` where the published one does not run on it."""
    if GOOFYS_PUBLISHED in mount.goofys_url and machine != GOOFYS_MACHINE:
        raise Problem(
            f"the published goofys runs on {GOOFYS_MACHINE}, and this server is {machine}",
            "set mount.program to rclone, or mount.goofysUrl and mount.goofysSha256 to a build of your own",
        )
    return Program("goofys", mount.goofys_url, mount.goofys_sha256)


def wanted(mount: MountSettings, machine: str) -> list[Program]:
    """Return the programs that a server needs: rclone, which copies, then what mounts. Raises `Problem` as these do."""
    return [rclone(mount, machine), *([goofys(mount, machine)] if mount.program == "goofys" else [])]
