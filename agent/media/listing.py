"""This module says which objects of the bucket are files of the media store: all others are left alone, and named.

A bucket may hold other things, which belong to somebody else, and keys that are no file names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..model.items import Object
from ..model.layout import RESERVED_PREFIX
from . import names
from .equality import Manifest

if TYPE_CHECKING:
    from ..model.ports import Bucket

#: The folders that Synapse makes in its media store.
#: https://github.com/element-hq/synapse/blob/develop/synapse/media/filepath.py
SYNAPSES_OWN = (
    "local_content", "local_thumbnails", "remote_content", "remote_thumbnail", "url_cache", "url_cache_thumbnails",
)  # fmt: skip
#: Those that Synapse rebuilds, and expires every few seconds.
REBUILT = ("url_cache", "url_cache_thumbnails")


def rebuilt(exclude: Iterable[str]) -> list[str]:
    """Return those of the folders left out that need not come home: people put nothing into them."""
    return [name for name in exclude if name in REBUILT]


@dataclass
class Tally:
    """A `Tally` counts names, and knows the first."""

    count: int = 0
    first: str = ""

    def add(self, name: str) -> None:
        """Count a name."""
        self.first = self.first or name
        self.count += 1


@dataclass
class MediaObjects:
    """These are the media store's objects, as one listing has them; what is left out is counted meanwhile.

    They come page by page: a million of them at once would take hundreds of MB. `exclude` names folders at the top that
    are left out, `tops` those beside Synapse's own in which this program put files. Raises `StoreError` where the store
    refuses to list.
    """

    bucket: Bucket
    exclude: Sequence[str]
    tops: Collection[str] = ()
    #: Objects that are no media, and those whose names no file can have.
    foreign: Tally = field(default_factory=Tally)
    unnameable: Tally = field(default_factory=Tally)

    def __iter__(self) -> Iterator[Object]:
        skip = (RESERVED_PREFIX, *(f"{name}/" for name in self.exclude))
        known = {*SYNAPSES_OWN, *self.tops}
        for item in self.bucket.list():
            key = item.key
            if key.startswith(skip) or key.endswith("/"):  # a folder's mark
                continue
            if key.partition("/")[0] not in known:
                self.foreign.add(key)
            elif names.trouble(key):
                self.unnameable.add(key)
            else:
                yield item

    def lines(self) -> list[str]:
        """Return what a person should know of what was left out, a line each."""
        lines = []
        if self.foreign.count:
            lines.append(
                f"{self.foreign.count:,} objects in the bucket are no media, {self.foreign.first!r} first: they "
                "stay as they are (a bucket with such is not deleted by destroy)"
            )
        if self.unnameable.count:
            lines.append(
                f"{self.unnameable.count:,} objects in the bucket have names that no file here can have, "
                f"{self.unnameable.first!r} first: they stay there; Synapse never makes such names"
            )
        return lines


def load_media(manifest: Manifest, bucket: Bucket, exclude: Sequence[str]) -> MediaObjects:
    """List the media store's objects into the manifest, and return what was left out.

    Where one object is called like a folder of others, a file system holds only one of both: the one that this program
    put there, else the folder. Raises `StoreError` where the store refuses to list.
    """
    found = MediaObjects(bucket, exclude, manifest.tops())
    manifest.load_remote(found)
    for path in manifest.drop_clashing():
        found.unnameable.add(path)
    return found
