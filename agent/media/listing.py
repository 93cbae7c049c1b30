"""This module says which objects of the bucket are files of the media store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..model.items import Object
from ..model.layout import RESERVED_PREFIX

if TYPE_CHECKING:
    from ..model.ports import Bucket


def media_objects(bucket: Bucket, exclude: Sequence[str]) -> Iterator[Object]:
    """Yield the media store's objects, without what the program keeps for itself and what `exclude` leaves out.

    They come page by page: a million of them at once would take hundreds of MB. Raises `StoreError` where the store
    refuses to list.
    """
    skip = (RESERVED_PREFIX, *(f"{name}/" for name in exclude))
    return (item for item in bucket.list() if _is_file_name(item.key) and not item.key.startswith(skip))


def _is_file_name(key: str) -> bool:
    """Return whether a key can be a file in the store: not `/etc/passwd`, not `a/../b`, not a folder's mark (`a/`)."""
    return "\0" not in key and not {"", ".", ".."} & set(key.split("/"))
