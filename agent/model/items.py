"""This module has the records for a file of the local store, an object, and what keeps a bucket from being deleted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple


class Entry(NamedTuple):
    """An `Entry` is a regular file as the file system describes it.

    Its times are in nanoseconds since 1970, its size is in bytes, and its path is relative to the media store.
    """

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int


@dataclass(frozen=True)
class Object:
    """An `Object` is an object of the bucket as a listing or HEAD shows it: size in bytes, ETag without quotes.

    One that is `archived` cannot be read before somebody restores it; only a listing says so.
    """

    key: str
    size: int
    etag: str
    archived: bool = field(default=False, compare=False)


def number_of(etag: str) -> int:
    """Return the number that stands for an ETag where a file has times and an inode."""
    return int.from_bytes(hashlib.sha256(etag.encode()).digest()[:7], "big")


class ServerIds(NamedTuple):
    """These are the ids by which a bucket may know a server: today's, and the one that earlier versions gave it."""

    present: str
    earlier: str


@dataclass(frozen=True)
class Remainder:
    """A `Remainder` keeps a bucket from being deleted: a version, a delete marker, or an unfinished upload.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
    """

    key: str
    #: The parameter by which S3 takes `id`: `versionId` or `uploadId`.
    kind: str
    id: str


class View(NamedTuple):
    """A `View` is a mount namespace in which a folder can be written to, as one of its processes shows it."""

    process: str
    #: The control group of that process.
    group: str
    #: The paths by which the folder, a part of it, or what is around it is seen.
    paths: tuple[str, ...]
    #: Whether the namespace has another root folder than the server: it is a container's.
    contained: bool
    #: Whether a program in that group serves a file system by FUSE.
    serves: bool = False
