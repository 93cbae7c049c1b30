"""This module is a small S3 client over http.client, for all that is not bulk copying.

Copying is rclone's work. This serves the checks that must run before anything is installed, and listings with ETags,
which the comparison needs.
"""

from __future__ import annotations

import datetime
import hashlib
import http.client
import math
import ssl
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from functools import cached_property

from ..model.errors import Problem, StoreError, StoreUnavailable
from ..model.items import Object, Remainder
from ..model.layout import RESERVED_PREFIX
from ..model.settings import StoreSettings
from .listing import Item, etag_of, parse_listing
from .signing import customer_key_headers, sign

#: Tries for one request; throttling and restarts of a store pass within about 15 seconds.
ATTEMPTS = 6
TIMEOUT_SECONDS = 60
_NO_BODY = hashlib.sha256(b"").hexdigest()


#: How S3 refuses to give out an object for whose encryption another key is needed, or none.
OTHER_KEY = (400, 403)
#: What a request may raise where the store refuses, is away, or breaks off.
STORE_TROUBLE = (StoreError, OSError, http.client.HTTPException)


class Bucket:
    """A `Bucket` is a client of one bucket, with a connection for each thread.

    Each method that sends a signed request raises `StoreError` where the store refuses it, and `StoreUnavailable` where
    the store does not answer; `answers` raises neither. Reading a long answer may raise any of `STORE_TROUBLE`.
    """

    def __init__(self, store: StoreSettings) -> None:
        self.store = store
        url = urllib.parse.urlsplit(store.endpoint)
        self._secure = url.scheme == "https"
        self._host = url.netloc
        self.set_patience()
        self._customer_key = customer_key_headers(store.sse_customer_key) if store.sse_customer_key else {}

    def set_patience(self, attempts: int = ATTEMPTS, timeout: float = TIMEOUT_SECONDS) -> None:
        """From now on, try each request `attempts` times, and let the store be silent for `timeout` seconds."""
        self._attempts, self._timeout = attempts, timeout
        self._local = threading.local()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Return one TLS context for all connections, since reading the system's certificates takes long."""
        return ssl.create_default_context()

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._local, "connection", None) is None:
            if self._secure:
                self._local.connection = http.client.HTTPSConnection(
                    self._host, timeout=self._timeout, context=self._tls
                )
            else:
                self._local.connection = http.client.HTTPConnection(self._host, timeout=self._timeout)
        connection: http.client.HTTPConnection = self._local.connection
        return connection

    def _close(self) -> None:
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection = None

    def _send(
        self, method: str, key: str, query: dict[str, str], body: bytes, customer_key: bool
    ) -> http.client.HTTPResponse:
        path = "/" + urllib.parse.quote(self.store.bucket + ("/" + key if key else ""), safe="/-_.~")
        line = "&".join(
            f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        digest = hashlib.sha256(body).hexdigest() if body else _NO_BODY
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = sign(
            method, self._host, path, line, self.store.region,
            self.store.access_key_id, self.store.secret_access_key, digest, when,
            self._customer_key if customer_key else {},
        )  # fmt: skip
        connection = self._connection()
        connection.request(method, path + ("?" + line if line else ""), body=body or None, headers=headers)
        return connection.getresponse()

    def open(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        attempts: int = 0,
        customer_key: bool = False,
    ) -> http.client.HTTPResponse:
        """Send a request, and return a response with status 2xx whose body is still to be read.

        It is tried `attempts` times, or with 0 as often as the bucket's patience says. With `customer_key`, the object
        is read or written with the stack's key for SSE-C, if there is one. Raises `StoreError` for any other status.
        """
        attempts = attempts or self._attempts
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._send(method, key, query or {}, body, customer_key)
            except (OSError, http.client.HTTPException) as error:
                self._close()
                if last:
                    raise StoreUnavailable(f"{self.store.endpoint} does not answer: {_reason(error)}") from error
            else:
                if response.status < 300:
                    return response
                text = response.read()
                if response.status < 500 and response.status != 429 or last:
                    raise StoreError(response.status, _error_code(text), f"{method} {key or self.store.bucket}")
            time.sleep(min(0.2 * 2**attempt, 5))  # back-off, bounded by ATTEMPTS
        raise AssertionError("unreachable")

    def date(self) -> datetime.datetime:
        """Return the time on the store's clock, from an unsigned request (whose answer may well be 403).

        Raises an error of `STORE_TROUBLE` where the store is away, and `Problem` where its answer has no Date.
        """
        connection = self._connection()
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        header = response.getheader("Date")
        if header is None:
            raise Problem(f"{self.store.endpoint} answers without a Date header", "check that it is an S3 endpoint")
        return parsedate_to_datetime(header)

    def answers(self) -> bool:
        """Return whether the store answers one request now, if only with a refusal. It raises nothing."""
        try:
            self.open("GET", "", {"list-type": "2", "max-keys": "1"}, attempts=1).read()
        except StoreError as error:
            return 0 < error.status < 500
        except (OSError, http.client.HTTPException):
            self._close()
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
        query = {"list-type": "2", "max-keys": str(page), "prefix": prefix}
        for item in self._pages("ListBucketResult", query, {"continuation-token": "NextContinuationToken"}, attempts):
            if item.kind == "Contents":
                key = item.text("Key")
                yield Object(key, int(item.text("Size") or 0), etag_of(item.text("ETag"), key))

    def remainders(self) -> Iterator[Remainder]:
        """Yield all versions, delete markers and unfinished uploads in the bucket.

        Raises `Problem` where the answer is no listing.
        """
        marks = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
        for item in self._pages("ListVersionsResult", {"versions": ""}, marks):
            if item.kind in ("Version", "DeleteMarker"):
                yield Remainder(item.text("Key"), "versionId", item.text("VersionId"))
        marks = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        for item in self._pages("ListMultipartUploadsResult", {"uploads": ""}, marks):
            if item.kind == "Upload":
                yield Remainder(item.text("Key"), "uploadId", item.text("UploadId"))

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

        Raises http.client.IncompleteRead where the store broke off.
        """
        digest = hashlib.md5()
        response = self.open("GET", key, customer_key=True)
        expected, received = response.getheader("Content-Length"), 0
        for block in iter(lambda: response.read(1 << 20), b""):
            digest.update(block)
            received += len(block)
        if expected is not None and received != int(expected):
            self._close()
            raise http.client.IncompleteRead(b"", int(expected) - received)
        return digest.hexdigest()

    def put(self, key: str, body: bytes) -> None:
        """Write an object, with the stack's key for SSE-C if there is one."""
        self.open("PUT", key, body=body, customer_key=True).read()

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


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _error_code(text: bytes) -> str:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    return next((item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == "Code"), "")
