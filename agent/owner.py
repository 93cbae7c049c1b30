"""Who uses the bucket: an object outside the media store's tree names one server."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

from .content import OTHER_KEY, with_other_key
from .context import Context
from .errors import Problem
from .places import RESERVED_PREFIX
from .s3 import StoreError

OWNER_KEY = f"{RESERVED_PREFIX}owner.json"


def server_id(machine_id: Path = Path("/etc/machine-id")) -> str:
    """This installation, not its machine id itself: systemd asks to keep that private."""
    return hashlib.sha256(b"matrix-media-store:" + machine_id.read_bytes().strip()).hexdigest()[:32]


def read(context: Context) -> dict[str, Any] | None:
    """What the bucket says; also where it was written before the stack had a customer's key."""
    refusal = None
    for customer_key in (True, False):
        try:
            data = context.bucket.get(OWNER_KEY, customer_key)
            return None if data is None else json.loads(data)
        except StoreError as error:
            if error.status not in OTHER_KEY:
                raise
            refusal = error
    raise Problem(
        f"{OWNER_KEY} in the bucket cannot be read: {refusal}",
        "check the key's rights, and that store.sseCustomerKey is the one with which the bucket was filled",
    )


def check(context: Context) -> dict[str, Any] | None:
    """What the bucket says; `Problem` if another server owns it and the stack did not say to take over."""
    found = read(context)
    if found and found["id"] != server_id() and not context.settings.store.adopt:
        raise Problem(
            f"bucket {context.settings.store.bucket} belongs to server {found['server']} (id {found['id'][:8]})",
            "use another bucket; only if that server is gone for good, set store.adopt to true",
        )
    return found


def claim(context: Context) -> None:
    """Write this server's name into the bucket, unless it is there."""
    found = check(context) or {}
    if found.get("id") != server_id() or with_other_key(context.bucket, [OWNER_KEY]):
        document = {"server": socket.gethostname(), "id": server_id(), "epoch": found.get("epoch", 0) + 1}
        context.bucket.put(OWNER_KEY, json.dumps(document).encode())


def release(context: Context) -> None:
    """Give the bucket free, if it is ours."""
    found = read(context)
    if found and found["id"] == server_id():
        context.bucket.delete(OWNER_KEY)
