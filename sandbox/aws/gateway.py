"""The gateway: a WSGI program before moto, which does to MinIO what moto was told."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

from .. import store
from ..world import HOST_ADDRESS
from . import ACCESS_KEY_ID, PORT

#: IAM's calls that change nothing.
_ONLY_ASKS = re.compile(rb"Action=(Get|List)")
Start = Callable[..., Any]

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/(\w+)/aws4_request")


class Gateway:
    """Passes requests of the administrator to moto; whoever else asks for an account's settings is denied."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._users: set[str] = set()
        self._following = threading.Lock()
        #: moto forgets which kinds of encryption a bucket blocks.
        self._encryption: dict[str, bytes] = {}

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if not found:
            return _refuse(start, 403, "s3", "AccessDenied", "unsigned")
        key_id, service = found.groups()
        if key_id != ACCESS_KEY_ID:
            return _refuse(start, 403, service, "AccessDenied", f"{key_id} is not allowed to do this")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        bucket = environ["PATH_INFO"].strip("/")
        what = (environ["REQUEST_METHOD"], *sorted(parse_qs(environ.get("QUERY_STRING", ""), True)))
        if service == "s3" and what == ("DELETE",):
            try:
                store.client().delete_bucket(Bucket=bucket)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code != "NoSuchBucket":
                    return _refuse(start, 409, service, code, error.response["Error"]["Message"])
        if service == "s3" and what == ("GET", "encryption") and bucket in self._encryption:
            start("200 OK", [("Content-Type", "application/xml")])
            return [self._encryption[bucket]]
        status: list[str] = []

        def remember(line: str, *rest: Any) -> Any:
            status.append(line)
            return start(line, *rest)

        answer = b"".join(self._moto(environ, remember))
        if status[0].startswith("2"):
            if service == "s3" and what == ("PUT",):
                s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_bucket_tagging(bucket, _tags(body))
                store.client().create_bucket(Bucket=bucket)
            elif service == "s3" and what == ("PUT", "versioning"):
                state = "Enabled" if b"<Status>Enabled</Status>" in body else "Suspended"
                store.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": state})
            elif service == "s3" and what == ("PUT", "encryption"):
                self._encryption[bucket] = body
            elif service == "s3" and what in (("DELETE",), ("DELETE", "encryption")):
                self._encryption.pop(bucket, None)
            elif service == "iam" and not _ONLY_ASKS.search(body):
                with self._following:
                    self._follow_users()
        return [answer]

    def _follow_users(self) -> None:
        """MinIO knows each active access key, with the rights that its user's inline policies give."""
        wanted: dict[str, tuple[str, list[Any]]] = {}
        for user in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].users.values():
            statements = [s for policy in user.policies.values() for s in _statements(policy)]
            for key in user.access_keys:
                if key.status == "Active":
                    wanted[key.access_key_id] = (key.secret_access_key, statements)
        for key_id, (secret, statements) in wanted.items():
            store.set_user(key_id, secret, statements)
        for key_id in self._users - set(wanted):
            store.remove_user(key_id)
        self._users = set(wanted)


def _tags(body: bytes) -> dict[str, str]:
    """Return the tags within a request that makes a bucket, which moto passes over."""
    if not body:
        return {}
    found = [tag for tag in ElementTree.fromstring(body).iter() if tag.tag.rpartition("}")[2] == "Tag"]
    texts = [{part.tag.rpartition("}")[2]: part.text or "" for part in tag} for tag in found]
    return {tag["Key"]: tag["Value"] for tag in texts}


def _statements(policy: Any) -> list[Any]:
    """A policy's statements but those on ACLs, which MinIO does not have."""
    found = json.loads(policy)["Statement"]
    return [one for one in found if not all("Acl" in action for action in one["Action"])]


def _refuse(start: Start, status: int, service: str, code: str, message: str) -> Iterable[bytes]:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = (error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>").encode()
    start(f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    run_simple(HOST_ADDRESS, PORT, Gateway(), threaded=True, request_handler=MotoRequestHandler)
