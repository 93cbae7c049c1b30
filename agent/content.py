"""Checksums of file content, as an S3 store would state them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from .manifest import Manifest
from .s3 import Bucket, Object, StoreError
from .tree import Entry, entry

#: rclone uploads files above this in parts; below, the ETag is the MD5 of the content.
PART_CUTOFF = 64 << 20
#: Size of one part; the ETag of a multipart object is the MD5 of its parts' MD5s.
PART_SIZE = 16 << 20
#: How S3 refuses to give out an object for whose encryption another key is needed, or none.
OTHER_KEY = (400, 403)
#: Files read for their checksums between two commits.
LOT = 500
#: Threads that read back objects or ask for them; more gain nothing on small servers.
THREADS = 16


def checksums(path: Path, size: int) -> tuple[str, str]:
    """MD5 of a file, and the ETag it has when uploaded in parts ('' where it would be one part)."""
    whole = hashlib.md5()
    parts = []
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(PART_SIZE), b""):
            whole.update(block)
            if size >= PART_CUTOFF:
                parts.append(hashlib.md5(block).digest())
    multipart = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}" if parts else ""
    return whole.hexdigest(), multipart


def _print(root: Path, known: Entry) -> list[tuple[Entry, str, str]]:
    """Nothing where the file changed, vanished or cannot be read: then it is not equal, and told by name."""
    try:
        md5, parts = checksums(root / known.path, known.size)
        return [(known, md5, parts)] if entry(root, known.path) == known else []
    except OSError:
        return []


def print_files(
    manifest: Manifest, root: Path, entries: Iterable[Entry], between: Callable[[], None] = lambda: None
) -> None:
    """Read local files whose checksums are not known, and keep them, in lots, so that an interruption loses little.

    `between` is called before each lot, and may end it all by raising.
    """
    entries = iter(entries)
    with ThreadPoolExecutor(2) as pool:
        while lot := list(islice(entries, LOT)):
            between()
            known = {entry for entry, _, _ in manifest.prints(lot)}
            new = [entry for entry in lot if entry not in known]
            manifest.add_prints(row for rows in pool.map(lambda e: _print(root, e), new) for row in rows)


def read_back(manifest: Manifest, bucket: Bucket, objects: list[Object]) -> list[str]:
    """Read objects whose ETag does not tell their content, and keep their MD5.

    Returns the names of those that cannot be read with the stack's customer key, or without one.
    """
    unreadable = []

    def read(item: Object) -> list[tuple[str, str, str]]:
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
    """Those of the objects that cannot be read with the stack's customer key, or without one."""

    def refused(key: str) -> bool:
        try:
            bucket.head(key)
        except StoreError as error:
            if error.status in OTHER_KEY:
                return True
            raise
        return False

    with ThreadPoolExecutor(THREADS) as pool:
        return [key for key, found in zip(keys, pool.map(refused, keys)) if found]


def settle(manifest: Manifest, bucket: Bucket, root: Path) -> list[str]:
    """Read whatever must be read, on either side, to say for every name whether it is equal.

    Returns the names of objects that cannot be read with the stack's customer key, or without one.
    """
    print_files(manifest, root, manifest.unprinted())
    doubtful = manifest.doubtful()
    return read_back(manifest, bucket, doubtful) if doubtful else []


def ask(manifest: Manifest, bucket: Bucket, paths: list[str]) -> None:
    """Correct what the last listing said of these names by asking for each."""
    with ThreadPoolExecutor(THREADS) as pool:
        for path, found in zip(paths, pool.map(bucket.head, paths)):
            manifest.set_remote(path, found)


def delete_objects(bucket: Bucket, keys: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(bucket.delete, keys))
