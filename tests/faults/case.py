"""A case of the matrix: which fault, at which moment of the way from which phase to which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import injectors as i


@dataclass(frozen=True)
class Case:
    """`target` none is `pulumi destroy`; a start of none is a server that nothing was done to yet.

    One of `goofys` is a server that the playbook's mount serves, and which is to be taken over.
    """

    fault: str
    inject: i.Injector
    start: str
    target: str
    at: str
    #: The homeserver may wait until the fault is over: nothing could serve before.
    waits: bool = False
    #: A folder that is a file system of its own, so that it can be full.
    own_disk: Path | None = None
    #: What it is: on mergerfs inodes follow from the path.
    disk_kind: str = "tmpfs"
    #: The fault is there before the engine starts.
    before: bool = False
    #: The kind of server, where it is not the one that all cases run on.
    server: str = ""
    #: How one side takes the place of the other: most moments are of services that are stopped.
    method: str = "restart"
    #: With a cache in front of the bucket.
    cached: bool = False
    #: Also run by `make test`.
    chosen: bool = False

    @property
    def name(self) -> str:
        return f"{self.fault}; {self.start} to {self.target}; {self.at}"
