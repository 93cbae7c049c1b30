"""This module makes the headers that authenticate a request, and those with the customer's key. It is pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType

from ..model.md5 import new_md5


def sign(
    method: str,
    host: str,
    path: str,
    query: str,
    region: str,
    key_id: str,
    secret: str,
    digest: str,
    when: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the headers that authenticate a request by AWS Signature Version 4; `when` is like 20261231T235959Z.

    `digest` is the SHA-256 of the body in hexadecimal digits. `more` are further headers, in small letters, which are
    signed too: S3 wants that of all that begin with x-amz-.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
    """
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": when, **more}
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [method, path, query, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest]
    )
    scope = f"{when[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (when[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def content_md5(body: bytes) -> str:
    """Return the value of the header Content-MD5, which S3 wants for each object in a bucket with Object Lock.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
    """
    return base64.b64encode(new_md5(body).digest()).decode()


def customer_key_headers(key: str) -> dict[str, str]:
    """Return the headers that SSE-C adds to a request for an object; `key` is base64 of 32 bytes.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
    """
    digest = new_md5(base64.b64decode(key)).digest()
    prefix = "x-amz-server-side-encryption-customer-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": key,
        f"{prefix}key-md5": base64.b64encode(digest).decode(),
    }
