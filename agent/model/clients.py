"""This module has what the agent asks over the network, as protocols: a bucket, and the homeserver."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Protocol

from .items import Object, Remainder
from .settings import StoreSettings


class Bucket(Protocol):
    """A `Bucket` is one bucket at one store; `store.bucket` has the real one.

    Each method that sends a signed request raises `StoreError` where the store refuses it, and `StoreUnavailable` where
    the store does not answer; `answers` raises neither.
    """

    store: StoreSettings

    def set_patience(self, attempts: int = ..., timeout: float = ...) -> None:
        """From now on, try each request `attempts` times, and let the store be silent for `timeout` seconds."""

    def date(self) -> datetime.datetime:
        """Return the time on the store's clock.

        Raises what `store.bucket.STORE_TROUBLE` lists, and `Problem` without a time.
        """

    def answers(self) -> bool:
        """Return whether the store answers a request now, if only with a refusal."""

    def round_trip(self) -> float:
        """Return how many seconds the store takes to answer the smallest request."""

    def list(self, prefix: str = "", attempts: int = 0, page: int = 1000) -> Iterator[Object]:
        """Yield each object whose key begins with `prefix`, in requests for `page` objects each.

        Each request is tried `attempts` times, or with 0 as often as `set_patience` says.
        """

    def first_outside(self) -> str:
        """Return the key of an object in the bucket that is not below the prefix; it is empty where there is none."""

    def remainders(self) -> Iterator[Remainder]:
        """Yield all versions, delete markers and unfinished uploads in the bucket."""

    def head(self, key: str) -> Object | None:
        """Return the object of that key, or None where there is none."""

    def has_other_key(self, key: str) -> bool:
        """Return whether the store refuses to read the object with the stack's customer key, or without one."""

    def get(self, key: str, customer_key: bool = True) -> bytes | None:
        """Return the whole content of an object, or None where there is none.

        Without `customer_key` it is read as if the stack had none.
        """

    def md5(self, key: str) -> str:
        """Return the MD5 of the object's content in hexadecimal digits, by reading all of it."""

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yield the object's content in blocks of 1 MiB; the last may be shorter."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""

    def put_medium(self, key: str, body: bytes) -> None:
        """Write a medium, in the stack's storage class."""

    def copy_from(self, source: StoreSettings, key: str) -> None:
        """Have the store copy an object of another of its buckets by itself, to the same key here."""

    def delete(self, key: str) -> None:
        """Delete an object; in a bucket with versions, its earlier versions stay."""

    def remove(self, item: Remainder) -> None:
        """Remove a version, a delete marker or an unfinished upload for good."""


class Homeserver(Protocol):
    """This protocol is the Matrix homeserver as its clients see it; `serving.homeserver` has the real one."""

    def trouble(self) -> str:
        """Return why the homeserver does not answer now; the text is empty where it does."""

    def wait(self) -> None:
        """Return once the homeserver answers. Raises `Problem` where it does not within host.startSeconds."""

    def upload(self, body: bytes) -> tuple[str, str]:
        """Upload a file through the client API, and return its server and its media id.

        Raises an error of `serving.homeserver.TROUBLE`, KeyError or ValueError where that fails.
        """

    def download(self, server: str, media_id: str) -> bytes:
        """Return the content of a file by the client API.

        Raises an error of `serving.homeserver.TROUBLE` where that fails.
        """
