"""Kinds of servers that users have, and the sandbox can be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..world import HOME, PLACE

#: Names the kind of this process's servers, where no test asks for another.
VARIABLE = "MATRIX_MEDIA_STORE_SERVER"


@dataclass(frozen=True)
class Kind:
    """With workers, all of Matrix runs in Docker, as matrix-docker-ansible-deploy lays it, with PostgreSQL.

    Without, Synapse is a plain service of systemd's with SQLite, as Debian's own package runs it.
    """

    name: str
    #: Debian's release.
    suite: str
    #: Its Python.
    python: str
    #: How many workers Synapse has.
    workers: int

    @property
    def in_containers(self) -> bool:
        return self.workers > 0

    @property
    def image(self) -> Path:
        """Debian's tree, before anything of Matrix is in it."""
        return HOME / "images" / self.name

    @property
    def containers(self) -> Path:
        """What Docker's folder is at the start: the containers' images."""
        return HOME / "containers" / self.name

    @property
    def seed(self) -> Path:
        """Data of a Synapse into which media were uploaded once; each fresh server starts with it."""
        return HOME / "seeds" / f"{self.workers}-workers"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("docker", "bookworm", "3.11", workers=1),
        Kind("plain", "bookworm", "3.11", workers=0),
        Kind("bullseye", "bullseye", "3.9", workers=2),
        Kind("trixie", "trixie", "3.13", workers=2),
    )
}
_NAME = PLACE / "server-kind"


def wanted() -> Kind:
    """The kind that the environment names. Raises SystemExit for an unknown one."""
    name = os.environ.get(VARIABLE) or "docker"
    if name not in KINDS:
        raise SystemExit(f"sandbox: SERVER={name} is unknown; there are {', '.join(KINDS)}")
    return KINDS[name]


def current() -> Kind:
    """The kind that this world's server is; where there is none yet, the one that the next will be."""
    return KINDS[_NAME.read_text()] if _NAME.exists() else wanted()


def note(kind: Kind) -> None:
    """Remember what this world's server is made as."""
    PLACE.mkdir(parents=True, exist_ok=True)
    _NAME.write_text(kind.name)
