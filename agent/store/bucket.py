"""This module is a small S3 client over http.client, for all that is not bulk copying.

Copying is rclone's work. This serves the checks that must run before anything is installed, and listings with ETags,
which the comparison needs.
"""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Iterator

from ..model.errors import Problem, StoreError
from ..model.items import Object, Remainder
from ..model.layout import RESERVED_PREFIX
from ..model.md5 import new_md5
from ..model.settings import StoreSettings
from .connections import Connections
from .listing import Item, etag_of, parse_listing

#: How S3 refuses to give out an object for whose encryption another key is needed, or none.
OTHER_KEY = (400, 403)
#: Storage classes whose objects cannot be read before somebody restores them.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
#: Bytes of an object that are read at once: its parts are made of whole blocks.
BLOCK = 1 << 20
#: What a request may raise where the store refuses, is away, or breaks off.
STORE_TROUBLE = (StoreError, OSError, http.client.HTTPException)


class Bucket(Connections):
    """A `Bucket` is a client of one bucket, or of the folder in it that is its prefix: keys are those below it.

    Each method that sends a signed request raises `StoreError` where the store refuses it, and `StoreUnavailable` where
    the store does not answer; `answers` raises neither. Reading a long answer may raise any of `STORE_TROUBLE`.
    """

    def answers(self) -> bool:
        """Return whether the store answers one request now, if only with a refusal. It raises nothing."""
        try:
            self.open("GET", "", {"list-type": "2", "max-keys": "1", "prefix": self.store.beginning}, attempts=1).read()
        except StoreError as error:
            return 0 < error.status < 500
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return True

    def round_trip(self) -> float:
        """Return how many seconds the store takes to answer the smallest request, the best of three."""
        best = math.inf
        for _ in range(3):
            start = time.monotonic()
            self.head(f"{RESERVED_PREFIX}how-far")
            best = min(best, time.monotonic() - start)
        return best

    def list(self, prefix: str = "", attempts: int = 0, page: int = 1000) -> Iterator[Object]:
        """Yield each object whose key begins with `prefix`, in requests for `page` objects each.

        `attempts` is as in `open`. Raises `Problem` where the answer is no listing.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
        """
        query = {"list-type": "2", "max-keys": str(page), "prefix": self.store.beginning + prefix}
        for item in self._pages("ListBucketResult", query, {"continuation-token": "NextContinuationToken"}, attempts):
            if item.kind == "Contents":
                key = self._below(item)
                etag, archived = etag_of(item.text("ETag"), key), item.text("StorageClass") in ARCHIVED
                yield Object(key, int(item.text("Size") or 0), etag, archived)

    def first_outside(self) -> str:
        """Return the key of an object in the bucket that is not below the prefix; it is empty where there is none."""
        beginning = self.store.beginning
        for after in ("", f"{beginning}\U0010ffff") if beginning else ():
            query = {"list-type": "2", "max-keys": "1", **({"start-after": after} if after else {})}
            items = self._pages("ListBucketResult", query, {})
            key = next((item.text("Key") for item in items if item.kind == "Contents"), beginning)
            if not key.startswith(beginning):
                return key
        return ""

    def remainders(self) -> Iterator[Remainder]:
        """Yield all versions, delete markers and unfinished uploads in the bucket.

        Raises `Problem` where the answer is no listing.
        """
        marks = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
        below = {"prefix": self.store.beginning}
        for item in self._pages("ListVersionsResult", {"versions": "", **below}, marks):
            if item.kind in ("Version", "DeleteMarker"):
                yield Remainder(self._below(item), "versionId", item.text("VersionId"))
        marks = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        for item in self._pages("ListMultipartUploadsResult", {"uploads": "", **below}, marks):
            if item.kind == "Upload":
                yield Remainder(self._below(item), "uploadId", item.text("UploadId"))

    def _below(self, item: Item) -> str:
        """Return the key of a listed item below the prefix. Raises `Problem` for one that was not asked for."""
        key, beginning = item.text("Key"), self.store.beginning
        if not key.startswith(beginning):
            raise Problem(
                f"the store lists {key!r}, which does not begin with {beginning!r}",
                "such a store is not supported: leave out store.prefix, or use another one",
            )
        return key[len(beginning) :]

    def _pages(self, kind: str, query: dict[str, str], marks: dict[str, str], attempts: int = 0) -> Iterator[Item]:
        """Yield the items of a listing, page by page; `marks` name where a page says that the next one begins."""
        query = {"encoding-type": "url", **query}
        while True:
            root = parse_listing(self.open("GET", "", query, attempts=attempts).read(), kind)
            space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            encoded = root.findtext(f"{space}EncodingType") == "url"
            yield from (Item(element, space, encoded) for element in root)
            if root.findtext(f"{space}IsTruncated") != "true":
                return
            here = Item(root, space, encoded)
            query = {**query, **{name: here.text(mark) for name, mark in marks.items()}}
            if not any(query[name] for name in marks):
                raise Problem(
                    "the store cut a listing short without saying where to go on",
                    "try again; nothing was changed",
                )

    def head(self, key: str) -> Object | None:
        """Return the object of that key, or None where there is none."""
        try:
            response = self.open("HEAD", key, customer_key=True)
        except StoreError as error:
            if error.status == 404:
                return None
            raise
        response.read()
        return Object(key, int(response.getheader("Content-Length") or 0), etag_of(response.getheader("ETag"), key))

    def has_other_key(self, key: str) -> bool:
        """Return whether the store refuses to read the object with the stack's customer key, or without one."""
        try:
            self.head(key)
        except StoreError as error:
            if error.status in OTHER_KEY:
                return True
            raise
        return False

    def get(self, key: str, customer_key: bool = True) -> bytes | None:
        """Return the whole content of a small object, or None where there is none."""
        try:
            return self.open("GET", key, customer_key=customer_key).read()
        except StoreError as error:
            if error.status == 404:
                return None
            raise

    def md5(self, key: str) -> str:
        """Return the MD5 of the object's content in hexadecimal digits, by reading all of it.

        Raises what `blocks` does.
        """
        digest = new_md5()
        for block in self.blocks(key):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yield the object's content in blocks of BLOCK bytes; the last may be shorter.

        Raises http.client.IncompleteRead where the store broke off.
        """
        response = self.open("GET", key, customer_key=True)
        expected, received = response.getheader("Content-Length"), 0
        for block in iter(lambda: response.read(BLOCK), b""):
            received += len(block)
            yield block
        if expected is not None and received != int(expected):
            self.close()
            raise http.client.IncompleteRead(b"", int(expected) - received)

    def put(self, key: str, body: bytes) -> None:
        """Write an object, with the stack's key for SSE-C if there is one."""
        self.open("PUT", key, body=body, customer_key=True).read()

    def put_medium(self, key: str, body: bytes) -> None:
        """Write a medium as the mount would, with the stack's key for SSE-C and its storage class."""
        self.open("PUT", key, body=body, customer_key=True, storage_class=self.store.storage_class).read()

    def copy_from(self, source: StoreSettings, key: str) -> None:
        """Have the store copy an object of the bucket `source` by itself, to the same key here.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        """
        origin = f"{source.bucket}/{source.beginning}{key}"
        answer = self.open("PUT", key, copy_source=origin, storage_class=self.store.storage_class).read()
        if b"<Error" in answer:  # it may fail after it began to answer
            raise StoreError(200, "CopyFailed", f"PUT {key}")

    def delete(self, key: str) -> None:
        """Delete an object; in a bucket with versions, its earlier versions stay."""
        self.open("DELETE", key).read()

    def remove(self, item: Remainder) -> None:
        """Remove a version, a delete marker or an unfinished upload for good; one that is gone already is no error."""
        try:
            self.open("DELETE", item.key, {item.kind: item.id}).read()
        except StoreError as error:
            if error.status != 404:
                raise
