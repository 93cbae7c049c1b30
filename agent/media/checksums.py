"""This module computes checksums of files and objects as an S3 store states them.

An ETag is the MD5 of the content, or of the MD5s of its parts; with a customer's key it is neither:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..host.beneath import Folder
from ..host.linked import Store
from ..model.errors import StoreError
from ..model.items import Entry, Object
from ..model.md5 import new_md5
from ..store.bucket import OTHER_KEY
from ..store.rclone_conf import PART_CUTOFF, PART_SIZE
from .equality import Manifest
from .walk import entry

if TYPE_CHECKING:
    from ..model.ports import Bucket

#: Files read for their checksums between two commits.
LOT = 500
#: Threads that read back objects or ask for them; more gain nothing on small servers.
THREADS = 16


def checksums(file: IO[bytes], size: int, between: Callable[[], None] = lambda: None) -> tuple[str, str]:
    """Return the MD5 of an open file of `size` bytes, and the ETag it has when uploaded in parts.

    The second is empty where the file is uploaded as one part. `between` is called before each part, and may end it by
    raising. Raises OSError where the file cannot be read, or has another size.
    """
    whole = new_md5()
    parts = []
    if os.fstat(file.fileno()).st_size != size:
        raise OSError(errno.ESTALE, "has another size by now")
    for block in iter(lambda: file.read(PART_SIZE), b""):
        between()
        whole.update(block)
        if size >= PART_CUTOFF:
            parts.append(new_md5(block).digest())
    multipart = f"{new_md5(b''.join(parts)).hexdigest()}-{len(parts)}" if parts else ""
    return whole.hexdigest(), multipart


def _checksum(root: Folder, known: Entry, between: Callable[[], None]) -> list[tuple[Entry, str, str]]:
    """Return the file's checksums, or nothing where it changed, vanished or cannot be read: then it is not equal."""
    try:
        with root.file(known.path) as file:
            md5, parts = checksums(file, known.size, between)
            same = entry(known.path, os.fstat(file.fileno())) == known
        return [(known, md5, parts)] if same else []
    except OSError:
        return []


def checksum_files(
    manifest: Manifest,
    root: Path,
    entries: Iterable[Entry],
    between: Callable[[], None] = lambda: None,
    tell: Callable[[int, int], None] = lambda files, size: None,
) -> None:
    """Read the local files whose checksums are not known, and keep their checksums.

    They are kept in lots, so that an interruption loses little. `between` is called before each lot, and may end it all
    by raising; `tell` is told the files and bytes of each lot after it.
    """
    entries = iter(entries)
    with Store.at(root) as top, ThreadPoolExecutor(2) as pool:
        while lot := list(islice(entries, LOT)):
            between()
            known = {entry for entry, _, _ in manifest.checksums(lot)}
            new = [entry for entry in lot if entry not in known]
            manifest.add_checksums(row for rows in pool.map(lambda e: _checksum(top, e, between), new) for row in rows)
            tell(len(lot), sum(each.size for each in lot))


def read_back(
    manifest: Manifest, bucket: Bucket, objects: list[Object], between: Callable[[], None] = lambda: None
) -> list[str]:
    """Read objects whose ETag does not prove their content, and keep the MD5 of each.

    `between` is called before each, and may end it all by raising. Returns the names of those that cannot be read with
    the stack's customer key, or without one if it has none. Raises an error of `store.bucket.STORE_TROUBLE` where the
    store fails otherwise.
    """
    unreadable = []

    def read(item: Object) -> list[tuple[str, str, str]]:
        between()
        try:
            return [(item.key, item.etag, bucket.md5(item.key))]
        except StoreError as error:
            if error.status in OTHER_KEY:
                unreadable.append(item.key)
            elif error.status != 404:
                raise
            return []

    with ThreadPoolExecutor(THREADS) as pool:
        manifest.add_read(row for rows in pool.map(read, objects) for row in rows)
    return sorted(unreadable)


def with_other_key(bucket: Bucket, keys: list[str]) -> list[str]:
    """Return those of the objects that cannot be read with the stack's customer key, or without one if it has none.

    Raises `StoreError` where the store fails otherwise.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return [key for key, found in zip(keys, pool.map(bucket.has_other_key, keys)) if found]


def settle(
    manifest: Manifest,
    bucket: Bucket,
    root: Path,
    tell: Callable[[int, int], None] = lambda files, size: None,
    between: Callable[[], None] = lambda: None,
) -> list[str]:
    """Read whatever must be read, on either side, to say for every name whether it is equal.

    `tell` is told how many more local files, and of how many bytes, were read; `between` is as in `read_back`. Returns
    the names of objects that cannot be read with the stack's customer key, or without one if it has none. Raises what
    `read_back` does.
    """
    checksum_files(manifest, root, manifest.without_checksum(), between, tell)
    doubtful = manifest.doubtful()
    return read_back(manifest, bucket, doubtful, between) if doubtful else []


def ask(manifest: Manifest, bucket: Bucket, paths: list[str], between: Callable[[], None] = lambda: None) -> None:
    """Ask the store for each of these names, and correct what the last listing said of it. Raises `StoreError`.

    `between` is called before each request, and may end it all by raising.
    """
    for path, found in zip(paths, heads(bucket, paths, between)):
        manifest.set_remote(path, found)


def heads(bucket: Bucket, paths: list[str], between: Callable[[], None] = lambda: None) -> list[Object | None]:
    """Return what the store says of each of these names, as `ask` asks it."""

    def head(path: str) -> Object | None:
        between()
        return bucket.head(path)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(head, paths))


def delete_objects(bucket: Bucket, keys: list[str]) -> None:
    """Delete the objects of these keys. Raises `StoreError`."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(bucket.delete, keys))
