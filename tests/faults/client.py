"""Somebody who uploads through the Matrix API all the time, and remembers what was acknowledged."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import threading
from collections.abc import Iterator

from sandbox import synapse
from sandbox.world import SERVER_ADDRESS

#: Seconds between two uploads, and for which one may take.
PAUSE, PATIENCE = 0.12, 5.0


class Client:
    """`acknowledged` are the uploads that the homeserver answered for: none of them may be lost."""

    def __init__(self, token: str) -> None:
        self.acknowledged: list[synapse.Media] = []
        self._token = token
        self._done = threading.Event()
        self._sizes = random.Random(5)

    @contextlib.contextmanager
    def uploading(self) -> Iterator[Client]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()

    def _run(self) -> None:
        while not self._done.wait(PAUSE):
            size = 300_000 if self._sizes.random() < 0.02 else self._sizes.randrange(1, 5000)
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                self._upload(os.urandom(size))

    def _upload(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(SERVER_ADDRESS, 8008, timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/octet-stream"}
            connection.request("POST", "/_matrix/media/v3/upload?filename=file", body, headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if answer.status == 200:
                media_id = document["content_uri"].rpartition("/")[2]
                self.acknowledged.append(synapse.Media(media_id, hashlib.sha256(body).hexdigest(), len(body)))
        finally:
            connection.close()
