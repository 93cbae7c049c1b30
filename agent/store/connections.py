"""This module sends signed requests to a bucket's store over http.client, and tries them again."""

from __future__ import annotations

import datetime
import hashlib
import http.client
import ssl
import threading
import time
import urllib.parse
from email.utils import parsedate_to_datetime
from functools import cached_property

from ..model.errors import Problem, StoreError, StoreUnavailable
from ..model.settings import StoreSettings
from .listing import parse_error
from .signing import content_md5, customer_key_headers, sign

#: Tries for one request; throttling and restarts of a store pass within about 15 seconds.
ATTEMPTS = 6
TIMEOUT_SECONDS = 60
_NO_BODY = hashlib.sha256(b"").hexdigest()


class Connections:
    """This class is a client of one bucket's store, with a connection for each thread.

    With a prefix it is a client of that folder alone: each key that it takes is one below it.
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

    def close(self) -> None:
        """Close this thread's connection: the next request opens another."""
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection = None

    def _send(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        body: bytes,
        customer_key: bool,
        storage_class: str,
        copy_source: str,
    ) -> http.client.HTTPResponse:
        path = "/" + urllib.parse.quote(
            self.store.bucket + (f"/{self.store.beginning}{key}" if key else ""), safe="/-_.~"
        )
        line = "&".join(
            f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        digest = hashlib.sha256(body).hexdigest() if body else _NO_BODY
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        own = {**(self._customer_key if customer_key else {})}
        if storage_class:
            own["x-amz-storage-class"] = storage_class
        if copy_source:
            own["x-amz-copy-source"] = urllib.parse.quote(copy_source, safe="/-_.~")
        if body:  # wanted by buckets with Object Lock
            own["content-md5"] = content_md5(body)
        headers = sign(
            method, self._host, path, line, self.store.region,
            self.store.access_key_id, self.store.secret_access_key, digest, when,
            own,
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
        storage_class: str = "",
        copy_source: str = "",
    ) -> http.client.HTTPResponse:
        """Send a request, and return a response with status 2xx whose body is still to be read.

        It is tried `attempts` times, or with 0 as often as the bucket's patience says. With `customer_key`, the object
        is read or written with the stack's key for SSE-C, if there is one. `copy_source` is the bucket and key of the
        object that a store copies by itself. Raises `StoreError` for any other status.
        """
        attempts = attempts or self._attempts
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._send(method, key, query or {}, body, customer_key, storage_class, copy_source)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last:
                    raise StoreUnavailable(f"{self.store.endpoint} does not answer: {_reason(error)}") from error
            else:
                if response.status < 300:
                    return response
                text = response.read()
                if response.status < 500 and response.status != 429 or last:
                    code, message = parse_error(text)
                    raise StoreError(response.status, code, f"{method} {key or self.store.bucket}", message)
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


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
