"""This module says which server uses the bucket: an object outside the media store's tree names one."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import Problem, StoreError
from ..model.layout import RESERVED_PREFIX
from .bucket import OTHER_KEY

if TYPE_CHECKING:
    from ..model.ports import Bucket

OWNER_KEY = f"{RESERVED_PREFIX}owner.json"


def server_id(machine_id: Path = Path("/etc/machine-id")) -> str:
    """Return the id of this installation, made of its machine id, which systemd asks to keep private.

    https://www.freedesktop.org/software/systemd/man/latest/machine-id.html
    """
    return hashlib.sha256(b"matrix-media-store:" + machine_id.read_bytes().strip()).hexdigest()[:32]


def read(bucket: Bucket) -> dict[str, Any] | None:
    """Return the mark of ownership in the bucket, or None where there is none.

    It is found too where it was written before the stack had a customer's key. Raises `Problem` where it cannot be read
    with the key nor without, and `StoreError` where the store fails otherwise.
    """
    refusal = None
    for customer_key in (True, False):
        try:
            data = bucket.get(OWNER_KEY, customer_key)
            return None if data is None else json.loads(data)
        except StoreError as error:
            if error.status not in OTHER_KEY:
                raise
            refusal = error
    raise Problem(
        f"{OWNER_KEY} in the bucket cannot be read: {refusal}",
        "check the key's rights, and that store.sseCustomerKey is the one with which the bucket was filled",
    )


def check(bucket: Bucket, name: str, adopt: bool) -> dict[str, Any] | None:
    """Return the mark of ownership in the bucket `name`, or None where there is none.

    Raises `Problem` where another server owns the bucket and `adopt` is not set, and what `read` raises.
    """
    found = read(bucket)
    if found and found["id"] != server_id() and not adopt:
        raise Problem(
            f"bucket {name} belongs to server {found['server']} (id {found['id'][:8]})",
            "use another bucket; only if that server is gone for good, set store.adopt to true",
        )
    return found


def claim(bucket: Bucket, name: str, adopt: bool) -> None:
    """Write this server's mark of ownership into the bucket `name`, unless it is there. Raises what `check` does."""
    found = check(bucket, name, adopt) or {}
    if found.get("id") != server_id() or bucket.has_other_key(OWNER_KEY):
        document = {"server": socket.gethostname(), "id": server_id(), "epoch": found.get("epoch", 0) + 1}
        bucket.put(OWNER_KEY, json.dumps(document).encode())


def release(bucket: Bucket) -> None:
    """Remove the mark of ownership from the bucket, if it is this server's. Raises what `read` does."""
    found = read(bucket)
    if found and found["id"] == server_id():
        bucket.delete(OWNER_KEY)
