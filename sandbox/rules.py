"""Stores with rules of their own, as real ones have them: each is the sandbox's store behind a proxy that enforces one.

The proxy passes requests on as they are, so that their signatures stay good. What it refuses, it refuses with the words
of the store that it stands for.
"""

from __future__ import annotations

import calendar
import contextlib
import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from . import store
from .world import CERTIFICATES, GOOGLES_HOST, HOST_ADDRESS

PORT = 9447
ENDPOINT = f"https://{HOST_ADDRESS}:{PORT}"
#: Seconds by which a store that answers slowly waits, and a listing is late.
SLOW, LATE = 0.05, 5.0
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """A request as the store sees it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def key(self) -> str:
        """The object's, without the bucket; empty for a request about the bucket."""
        path = urlsplit(self.path).path.lstrip("/")
        return path if self.headers["host"].endswith(f".{GOOGLES_HOST}") else path.partition("/")[2]

    @property
    def signed(self) -> list[str]:
        found = re.search(r"SignedHeaders=([^,]+)", self.headers.get("authorization", ""))
        return found[1].split(";") if found else []


@dataclass(frozen=True)
class Refusal:
    """What the store answers instead of doing what was asked."""

    status: int
    code: str
    message: str

    @property
    def body(self) -> bytes:
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{self.code}</Code>'
            f"<Message>{escape(self.message)}</Message></Error>"
        ).encode()


@dataclass
class Rule:
    """How a store is otherwise: what it refuses, how it changes a listing, and for how long it thinks."""

    refuses: Callable[[Request], Refusal | None] = lambda request: None
    lists: Callable[[bytes], bytes] = lambda listing: listing
    seconds: float = 0.0
    #: Where the proxy listens.
    port: int = PORT
    #: The last requests: method, path without its query.
    seen: list[tuple[str, str]] = field(default_factory=list)


def googles_signing(request: Request) -> Refusal | None:
    """Google changes Accept-Encoding on the way, knows no ACLs in buckets with uniform access, nor the SDK's x-id.

    https://github.com/rclone/rclone/issues/6670, https://cloud.google.com/storage/docs/uniform-bucket-level-access
    """
    if "accept-encoding" in request.signed:
        return Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature")
    if "x-id" in request.query:
        return Refusal(400, "InvalidArgument", "Invalid query parameter x-id")
    if request.method == "POST" and "delete" in request.query:
        return Refusal(501, "NotImplemented", "Multi-object delete is not implemented")
    return acls(request)


def acls(request: Request) -> Refusal | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html"""
    if "x-amz-acl" in request.headers or "acl" in request.query:
        return Refusal(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
    return None


def object_lock(request: Request) -> Refusal | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html"""
    checked = any(name == "content-md5" or name.startswith("x-amz-checksum-") for name in request.headers)
    trailer = "x-amz-trailer" in request.headers
    if request.method == "PUT" and request.key and not checked and not trailer:
        header = "Content-MD5 OR x-amz-checksum- HTTP header is required"
        return Refusal(400, "InvalidRequest", f"{header} for Put Object requests with Object Lock parameters")
    return None


def cap(request: Request) -> Refusal | None:
    """As B2 says it once a cap of the account is reached."""
    if request.method in ("PUT", "POST") and request.key:
        said = "Transaction cap exceeded, see the Caps & Alerts page to increase your cap."
        return Refusal(403, "AccessDenied", said)
    return None


def archive(request: Request) -> Refusal | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html"""
    if request.method == "GET" and request.key.startswith("local_content/") and not request.query.get("uploadId"):
        return Refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    return None


def _archived(listing: bytes) -> bytes:
    return _CONTENTS.sub(
        lambda found: (
            re.sub(rb"<StorageClass>\w+<", b"<StorageClass>GLACIER<", found[0])
            if b"<Key>local_content/" in found[0] or b"<Key>local_content%2F" in found[0]
            else found[0]
        ),
        listing,
    )


def _late(listing: bytes) -> bytes:
    def shown(found: re.Match[bytes]) -> bytes:
        written = re.search(rb"<LastModified>([^<.]+)", found[0])
        assert written
        when = time.strptime(written[1].decode(), "%Y-%m-%dT%H:%M:%S")
        return b"" if time.time() - calendar.timegm(when) < LATE else found[0]

    return _CONTENTS.sub(shown, listing)


RULES: dict[str, Callable[[], Rule]] = {
    "google": lambda: Rule(googles_signing, port=443),
    "acl": lambda: Rule(acls),
    "object lock": lambda: Rule(object_lock),
    "cap": lambda: Rule(cap),
    "archive": lambda: Rule(archive, _archived),
    "slow": lambda: Rule(seconds=SLOW),
    "late": lambda: Rule(lists=_late),
    "none": Rule,
}


@contextlib.contextmanager
def running(name: str) -> Iterator[Rule]:
    """A store with that rule, as long as the body runs."""
    rule = RULES[name]()
    server = ThreadingHTTPServer((HOST_ADDRESS, rule.port), _handler(rule))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "public.crt", CERTIFICATES / "private.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield rule
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def endpoint(name: str) -> str:
    """Where the server reaches a store with that rule."""
    return f"https://{GOOGLES_HOST}" if name == "google" else ENDPOINT


def _handler(rule: Rule) -> type[BaseHTTPRequestHandler]:
    upstream = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length") or 0))
            request = Request(self.command, self.path, headers, body)
            rule.seen.append((request.method, urlsplit(request.path).path))
            time.sleep(rule.seconds)
            refusal = rule.refuses(request)
            if refusal:
                self._answer(refusal.status, {"Content-Type": "application/xml"}, refusal.body)
                return
            connection = http.client.HTTPSConnection(HOST_ADDRESS, store.PORT, timeout=60, context=upstream)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body or None)
                theirs = connection.getresponse()
                data = theirs.read()
            finally:
                connection.close()
            if self.command == "GET" and not request.key and b"ListBucketResult" in data:
                data = rule.lists(data)
            kept = {name: value for name, value in theirs.getheaders() if name.lower() not in _HOP_BY_HOP}
            length = theirs.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(theirs.status, kept, data, length)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def _answer(self, status: int, headers: Mapping[str, str], data: bytes, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")
