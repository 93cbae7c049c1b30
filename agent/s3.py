"""A small S3 client: signature version 4 over http.client, for all that is not bulk copying.

Copying is rclone's work. This serves the checks that must run before anything is installed, and
listings with ETag and time, which the comparison needs.
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
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property

from .errors import Problem
from .places import RESERVED_PREFIX
from .settings import StoreSettings
from .signing import customer_key_headers, sign

#: Tries for one request; throttling and restarts of a store pass within about 15 seconds.
ATTEMPTS = 6
TIMEOUT_SECONDS = 60
_NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Object:
    """An object as a listing or HEAD shows it; size in bytes, ETag without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Remainder:
    """What keeps a bucket from being deleted: a version, the mark of a deletion, or an unfinished upload."""

    key: str
    #: `versionId` or `uploadId`, and which.
    kind: str
    id: str


class StoreError(Exception):
    """The store's refusal: HTTP status and the error code it gave."""

    def __init__(self, status: int, code: str, what: str) -> None:
        super().__init__(f"{what}: {status} {code}")
        self.status = status
        self.code = code


class Bucket:
    """One bucket; a connection for each thread."""

    def __init__(self, store: StoreSettings) -> None:
        self.store = store
        url = urllib.parse.urlsplit(store.endpoint)
        self._secure = url.scheme == "https"
        self._host = url.netloc
        self.set_patience()
        self._customer_key = customer_key_headers(store.sse_customer_key) if store.sse_customer_key else {}

    def set_patience(self, attempts: int = ATTEMPTS, timeout: float = TIMEOUT_SECONDS) -> None:
        """How often a request is tried, and for how many seconds it may be silent, from now on."""
        self._attempts, self._timeout = attempts, timeout
        self._local = threading.local()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all connections: reading the system's certificates takes longer than a handshake."""
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
        """A response with status 2xx whose body is still to be read; anything else is an error.

        It is tried `attempts` times, or as often as the bucket's patience says.
        With `customer_key`, the object is read or written with the stack's key for SSE-C, if there is one.
        """
        attempts = attempts or self._attempts
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._send(method, key, query or {}, body, customer_key)
            except (OSError, http.client.HTTPException) as error:
                self._close()
                if last:
                    raise ConnectionError(f"{self.store.endpoint} does not answer: {_reason(error)}") from error
            else:
                if response.status < 300:
                    return response
                text = response.read()
                if response.status < 500 and response.status != 429 or last:
                    raise StoreError(response.status, _error_code(text), f"{method} {key or self.store.bucket}")
            time.sleep(min(0.2 * 2**attempt, 5))  # back-off, bounded by ATTEMPTS
        raise AssertionError("unreachable")

    def date(self) -> datetime.datetime:
        """The store's clock, from an unsigned request (its answer may well be 403)."""
        connection = self._connection()
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        header = response.getheader("Date")
        if header is None:
            raise Problem(f"{self.store.endpoint} answers without a Date header", "check that it is an S3 endpoint")
        return parsedate_to_datetime(header)

    def answers(self) -> bool:
        """Whether the store answers a single question now, be it with a refusal."""
        try:
            self.open("GET", "", {"list-type": "2", "max-keys": "1"}, attempts=1).read()
        except StoreError as error:
            return error.status < 500
        except (OSError, http.client.HTTPException):
            self._close()
            return False
        return True

    def round_trip(self) -> float:
        """Seconds that the store takes for the smallest question, the best of three. Raises what `head` does."""
        best = math.inf
        for _ in range(3):
            start = time.monotonic()
            self.head(f"{RESERVED_PREFIX}how-far")
            best = min(best, time.monotonic() - start)
        return best

    def list(self, prefix: str = "", attempts: int = 0, page: int = 1000) -> Iterator[Object]:
        """Every object whose key begins with `prefix`, page by page."""
        query = {"list-type": "2", "max-keys": str(page), "prefix": prefix}
        for item in self._pages("ListBucketResult", query, {"continuation-token": "NextContinuationToken"}, attempts):
            if item.kind == "Contents":
                key = item.text("Key")
                yield Object(key, int(item.text("Size") or 0), _etag(item.text("ETag"), key))

    def remainders(self) -> Iterator[Remainder]:
        """Every version of every object, every mark of a deletion, every unfinished upload."""
        marks = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
        for item in self._pages("ListVersionsResult", {"versions": ""}, marks):
            if item.kind in ("Version", "DeleteMarker"):
                yield Remainder(item.text("Key"), "versionId", item.text("VersionId"))
        marks = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        for item in self._pages("ListMultipartUploadsResult", {"uploads": ""}, marks):
            if item.kind == "Upload":
                yield Remainder(item.text("Key"), "uploadId", item.text("UploadId"))

    def _pages(self, kind: str, query: dict[str, str], marks: dict[str, str], attempts: int = 0) -> Iterator[_Item]:
        """The items of a listing, page by page; `marks` are where a page says that the next begins."""
        query = {"encoding-type": "url", **query}
        while True:
            root = _listing(self.open("GET", "", query, attempts=attempts).read(), kind)
            space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            encoded = root.findtext(f"{space}EncodingType") == "url"
            yield from (_Item(element, space, encoded) for element in root)
            if root.findtext(f"{space}IsTruncated") != "true":
                return
            here = _Item(root, space, encoded)
            query = {**query, **{name: here.text(mark) for name, mark in marks.items()}}
            if not any(query[name] for name in marks):
                raise Problem(
                    "the store cut a listing short without saying where to go on",
                    "try again; nothing was changed",
                )

    def head(self, key: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            response = self.open("HEAD", key, customer_key=True)
        except StoreError as error:
            if error.status == 404:
                return None
            raise
        response.read()
        return Object(key, int(response.getheader("Content-Length") or 0), _etag(response.getheader("ETag"), key))

    def get(self, key: str, customer_key: bool = True) -> bytes | None:
        """The whole of a small object, or None."""
        try:
            return self.open("GET", key, customer_key=customer_key).read()
        except StoreError as error:
            if error.status == 404:
                return None
            raise

    def md5(self, key: str) -> str:
        """MD5 of the object's content, by reading it back."""
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
        self.open("PUT", key, body=body, customer_key=True).read()

    def delete(self, key: str) -> None:
        self.open("DELETE", key).read()

    def remove(self, item: Remainder) -> None:
        """For good; that it is gone already is fine."""
        try:
            self.open("DELETE", item.key, {item.kind: item.id}).read()
        except StoreError as error:
            if error.status != 404:
                raise


@dataclass(frozen=True)
class _Item:
    """An element of a listing; names in it may be encoded as in URLs."""

    element: ElementTree.Element
    space: str
    encoded: bool

    @property
    def kind(self) -> str:
        return self.element.tag.rpartition("}")[2]

    def text(self, name: str) -> str:
        found = self.element.findtext(f"{self.space}{name}") or ""
        return urllib.parse.unquote_plus(found) if self.encoded and name.endswith(("Key", "KeyMarker")) else found


def _listing(text: bytes, kind: str) -> ElementTree.Element:
    """A listing, and nothing that merely looks like an empty one (a maintenance page, say)."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        root = ElementTree.Element("")
    if root.tag.rpartition("}")[2] != kind:
        raise Problem("the store's answer to a listing is not a listing", "check store.endpoint; try again later")
    return root


def _etag(text: str | None, key: str) -> str:
    etag = (text or "").strip('"')
    if not etag:
        raise Problem(
            f"the store gives no ETag for {key!r}", "such a store is not supported: nothing could be compared"
        )
    return etag


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _error_code(text: bytes) -> str:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    return next((item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == "Code"), "")
