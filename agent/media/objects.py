"""This module lets a bucket be the near side of a manifest, where else the local store is: for a move to another one.

An object stands there as a file does. Its ETag takes the place of times and inode: another content has another one.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from ..model.errors import StoreError
from ..model.items import Entry, Object, number_of
from ..model.md5 import new_md5
from ..store.rclone_conf import PART_CUTOFF, PART_SIZE
from .checksums import LOT, THREADS, read_back
from .equality import Manifest

if TYPE_CHECKING:
    from ..model.ports import Bucket

#: An ETag that is the MD5 of the whole content, where no key of the customer's or the store's encrypts it.
_PLAIN = re.compile("[0-9a-f]{32}")


def as_entry(item: Object) -> Entry:
    """Return an object of the near side as a manifest keeps its files."""
    number = number_of(item.etag)
    return Entry(item.key, item.size, number, number, number)


def load(manifest: Manifest, objects: Iterable[Object], is_plain: bool) -> tuple[int, int]:
    """Replace the near side's last listing by `objects`; return how many there are, and their bytes.

    With `is_plain`, no customer's key encrypts them: then an ETag that is an MD5 is taken for the content's, until the
    other side shows something else.
    """

    def noted() -> Iterator[Entry]:
        for item in objects:
            entry = as_entry(item)
            if is_plain and _PLAIN.fullmatch(item.etag):
                manifest.note_told(entry, item.etag)
            yield entry

    return manifest.load_local(noted())


def settle(manifest: Manifest, here: Bucket, there: Bucket) -> None:
    """Read whatever must be read in either bucket to say for every name whether it is equal.

    Raises an error of `store.bucket.STORE_TROUBLE` where a store fails.
    """
    _checksum(manifest, here, manifest.without_checksum())
    if doubtful := manifest.doubtful():
        read_back(manifest, there, doubtful)


def read_again(manifest: Manifest, here: Bucket, paths: Sequence[str]) -> None:
    """Read these objects of the near side, whose ETag may be no MD5, and keep their checksums. Raises as `settle`."""
    _checksum(manifest, here, manifest.local(paths))


def _checksum(manifest: Manifest, here: Bucket, entries: Iterable[Entry]) -> None:
    entries = iter(entries)
    with ThreadPoolExecutor(THREADS) as pool:
        while lot := list(islice(entries, LOT)):
            manifest.add_checksums(row for rows in pool.map(lambda each: _read(here, each), lot) for row in rows)


def _read(here: Bucket, known: Entry) -> list[tuple[Entry, str, str]]:
    """Return the checksums of an object; nothing where it changed or is gone, since then it is not equal."""
    whole, part, parts, size = new_md5(), new_md5(), [], 0
    try:
        for block in here.blocks(known.path):
            whole.update(block)
            part.update(block)
            size += len(block)
            if size % PART_SIZE == 0 or size == known.size:
                parts.append(part.digest())
                part = new_md5()
        found = here.head(known.path)
    except StoreError as error:
        if error.status != 404:
            raise
        return []
    if size != known.size:
        raise http.client.IncompleteRead(b"", known.size - size)
    if found is None or as_entry(found) != known:
        return []
    in_parts = f"{new_md5(b''.join(parts)).hexdigest()}-{len(parts)}" if size >= PART_CUTOFF else ""
    return [(known, whole.hexdigest(), in_parts)]
