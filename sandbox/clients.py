"""Clients of the homeserver who upload, download and look at thumbnails all the time, and note how long each waits."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import threading
import time
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import synapse
from .synapse import SERVER_NAME, Media

#: Clients at once; two of them upload large files, slowly.
CLIENTS, SLOW = 16, 2
#: Seconds that a client thinks between two requests: about thirty requests a second, which two processors carry while
#: the store is beside them.
THINKS = 0.5
#: Bytes of an upload, of a large one, and of the part of it that is sent at once.
SMALL, LARGE, PART = 20_000, 4 << 20, 256 << 10
THUMBNAIL = "/_matrix/client/v1/media/thumbnail/{}/{}?width=32&height=32&method=crop"
#: What a request may raise where it fails.
FAILURES = (OSError, http.client.HTTPException, urllib.error.URLError, ValueError)


@dataclass(frozen=True)
class Wait:
    """One request: what it was, when it began on the monotonic clock, for how long it waited, and why it failed."""

    what: str
    began: float
    seconds: float
    failure: str = ""


@dataclass
class Clients:
    """A context in which so many clients are at work; `waits` has every request, `uploaded` what was acknowledged."""

    token: str
    media: Sequence[Media]
    thinks: float = THINKS
    waits: list[Wait] = field(default_factory=list)
    uploaded: list[Media] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[Wait]:
        return [wait for wait in self.waits if wait.failure]

    def longest(self, since: float = 0, until: float = float("inf")) -> float:
        """The longest wait of a request that was under way in that time; large uploads are slow by themselves."""
        return max(
            (
                wait.seconds
                for wait in self.waits
                if wait.what != "large upload" and wait.began + wait.seconds >= since and wait.began <= until
            ),
            default=0.0,
        )

    def _work(self, number: int) -> None:
        rng = random.Random(number)
        self._over.wait(rng.random() * self.thinks)
        while not self._over.is_set():
            if number < SLOW:
                self._timed("large upload", lambda: self._upload_slowly(os.urandom(LARGE)))
            elif number % 2:
                self._timed("upload", lambda: self._upload(os.urandom(SMALL)))
            else:
                self._timed("download", lambda: self._download(rng.choice([*self.media, *self.uploaded])))
                self._timed("thumbnail", lambda: self._look(rng.choice(self.media)))
            self._over.wait(self.thinks)

    def _timed(self, what: str, action: Callable[[], None]) -> None:
        began, failure = time.monotonic(), ""
        try:
            action()
        except FAILURES as error:
            failure = f"{type(error).__name__}: {error}"
        self.waits.append(Wait(what, began, time.monotonic() - began, failure))

    def _upload(self, content: bytes) -> None:
        self.uploaded.append(synapse.upload(self.token, content))

    def _download(self, item: Media) -> None:
        content = synapse.download(self.token, item)
        if content is None or hashlib.sha256(content).hexdigest() != item.sha256:
            raise ValueError(f"{item.id} downloads with other content")

    def _look(self, item: Media) -> None:
        try:
            synapse.call("GET", THUMBNAIL.format(SERVER_NAME, item.id), token=self.token)
        except urllib.error.HTTPError as error:
            if error.code not in (400, 404):  # no picture
                raise

    def _upload_slowly(self, content: bytes) -> None:
        """As from a phone: part by part, so that one is under way at any moment."""
        connection = http.client.HTTPConnection(synapse.URL.removeprefix("http://"), timeout=120)
        try:
            connection.putrequest("POST", "/_matrix/media/v3/upload?filename=large")
            connection.putheader("Authorization", f"Bearer {self.token}")
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(len(content)))
            connection.endheaders()
            for start in range(0, len(content), PART):
                connection.send(content[start : start + PART])
                time.sleep(0.05)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise ValueError(f"status {answer.status}: {body[:200]!r}")
            self.uploaded.append(synapse.uploaded(body, content))
        finally:
            connection.close()
