"""This module says which server uses the bucket: an object outside the media store's tree names one."""

from __future__ import annotations

import json
import secrets
import socket
from typing import TYPE_CHECKING, NamedTuple

from ..model.errors import Problem, StoreError
from ..model.items import ServerIds
from ..model.layout import OWNER_KEY, RESERVED_PREFIX
from .bucket import OTHER_KEY

if TYPE_CHECKING:
    from ..model.ports import Bucket


class Mark(NamedTuple):
    """A `Mark` is what the bucket says of its owner; `epoch` counts how often it changed hands."""

    server: str
    id: str
    epoch: int


def read(bucket: Bucket) -> Mark | None:
    """Return the mark of ownership in the bucket, or None where there is none.

    It is found too where it was written before the stack had a customer's key. Raises `Problem` where it cannot be read
    with the key nor without, and `StoreError` where the store fails otherwise.
    """
    refusal = None
    for customer_key in (True, False):
        try:
            data = bucket.get(OWNER_KEY, customer_key)
            return None if data is None else _mark(data)
        except StoreError as error:
            if error.status not in OTHER_KEY:
                raise
            refusal = error
    raise Problem(
        f"{OWNER_KEY} in the bucket cannot be read: {refusal}",
        "check the key's rights, and that store.sseCustomerKey is the one with which the bucket was filled",
    )


def _mark(data: bytes) -> Mark:
    try:
        found = json.loads(data)
        return Mark(str(found["server"]), str(found["id"]), int(found.get("epoch", 0)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Problem(
            f"{OWNER_KEY} in the bucket is no mark of ownership: somebody wrote something else there",
            "look who uses this bucket; only if nobody else does, remove that object, and run pulumi up again",
        ) from None


def check(bucket: Bucket, ids: ServerIds, name: str, adopt: bool) -> Mark | None:
    """Return the mark of ownership in the bucket `name`, or None where there is none; `ids` are this server's.

    Raises `Problem` where another server owns the bucket and `adopt` is not set, and what `read` raises.
    """
    found = read(bucket)
    if found and found.id not in ids and not adopt:
        raise Problem(
            f"bucket {name} belongs to server {found.server} (id {found.id[:8]})",
            "use another bucket; only if that server is gone for good, or this is that server on other hardware, set "
            "store.adopt to true",
        )
    return found


def check_serves(bucket: Bucket, ids: ServerIds, name: str, epoch: int) -> None:
    """Raise `Problem` where the bucket `name` is not this server's any more, so that it must not be mounted here.

    A clone of a server has all its files, and the server from which another took the bucket has its own still; what a
    homeserver purges over a mount there, it purges for all. `epoch` is the one at which this server made the bucket its
    own, or 0 where that is not known. Raises what `read` does.
    """
    found = read(bucket)
    if found and found.id in ids and epoch and found.epoch != epoch:
        raise Problem(
            f"bucket {name} was made this server's anew (change {found.epoch}), and here it is known since change "
            f"{epoch}: this is a copy of the server, or its disk was set back; it is not mounted here",
            "run pulumi up if this is the server itself; it takes the bucket up again",
        )
    if found and found.id not in ids:
        raise Problem(
            f"bucket {name} belongs to server {found.server} (id {found.id[:8]}, since change {found.epoch}), and not "
            "to this one, which may be a copy of it, or was replaced by it: it is not mounted here",
            "only if that server is gone for good, or this is that server on other hardware, set store.adopt to true "
            "and run pulumi up",
        )


def claim(bucket: Bucket, ids: ServerIds, name: str, adopt: bool) -> int:
    """Write this server's mark of ownership into the bucket `name`, unless it is there, and return its epoch.

    Raises what `check` does.
    """
    found = check(bucket, ids, name, adopt)
    if found and found.id == ids.present and not bucket.has_other_key(OWNER_KEY):
        return found.epoch
    epoch = found.epoch if found else 0
    if not found or found.id not in ids:
        epoch += 1  # it changes hands
    _write(bucket, ids, epoch)
    return epoch


def _write(bucket: Bucket, ids: ServerIds, epoch: int) -> None:
    document = {"server": socket.gethostname(), "id": ids.present, "epoch": epoch}
    bucket.put(OWNER_KEY, json.dumps(document).encode())


def is_same(one: Bucket, other: Bucket) -> bool:
    """Return whether what is written into one bucket is seen in the other: two addresses may lead to the same one.

    Raises `StoreError` where either refuses.
    """
    for here, there in ((one, other), (other, one)):
        key = f"{RESERVED_PREFIX}same/{secrets.token_hex(8)}"
        whole, below = here.store.beginning + key, there.store.beginning
        here.put(key, b"the same?")
        try:
            if whole.startswith(below) and (
                there.has_other_key(whole[len(below) :]) or there.head(whole[len(below) :])
            ):
                return True
        finally:
            here.delete(key)
    return False


def raise_epoch(bucket: Bucket, ids: ServerIds) -> None:
    """Write into a bucket that media left that they did: a mount that knows it from before does not come up.

    That is one of a server whose disk was set back. Raises what `read` does.
    """
    found = read(bucket)
    if found and found.id in ids:
        _write(bucket, ids, found.epoch + 1)


def release(bucket: Bucket, ids: ServerIds) -> None:
    """Remove the mark of ownership from the bucket, if it is this server's. Raises what `read` does."""
    found = read(bucket)
    if found and found.id in ids:
        bucket.delete(OWNER_KEY)
