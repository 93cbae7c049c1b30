"""What makes a request one of ours: its signature, and the customer's key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType


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
    """Headers that authenticate a request (AWS Signature Version 4); `when` is 20261231T235959Z.

    `more` are further x-amz- headers, in small letters: S3 wants every one of them signed.
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


def customer_key_headers(key: str) -> dict[str, str]:
    """What SSE-C adds to a request for an object; `key` is base64 of 32 bytes."""
    digest = hashlib.md5(base64.b64decode(key)).digest()
    prefix = "x-amz-server-side-encryption-customer-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": key,
        f"{prefix}key-md5": base64.b64encode(digest).decode(),
    }
