"""This module asks the Matrix homeserver as its clients do."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..model.errors import Problem
from ..model.settings import HostSettings

if TYPE_CHECKING:
    from ..model.ports import System

#: Seconds for the homeserver to answer whether it runs, and the most bytes that are read of an answer.
ANSWER_SECONDS, LARGEST = 10.0, 1 << 20
#: What every homeserver answers, and what its media repository does: to who shows no token, that one is needed.
#: https://spec.matrix.org/latest/client-server-api/#get_matrixclientversions
#: https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediaconfig
VERSIONS, MEDIA = "/_matrix/client/versions", "/_matrix/client/v1/media/config"
#: A reverse proxy's answers where what it asks is not there (yet).
NOBODY_THERE = (502, 503, 504)
#: As others do not take it for a robot: some proxies refuse Python's own name.
HEADERS = {"User-Agent": "matrix-media-store"}
#: Characters of a refusal that are passed on.
LONGEST_ANSWER = 200
#: What a request may raise where the homeserver is away, or refuses.
TROUBLE = (OSError, urllib.error.URLError, http.client.HTTPException)


class Homeserver:
    """A `Homeserver` is the one at host.homeserverUrl."""

    def __init__(self, host: HostSettings, system: System) -> None:
        self._host, self._system = host, system

    def trouble(self) -> str:
        """Return why the homeserver, or what serves its media, does not answer within 10 seconds, or an empty text.

        Media may be a worker's, which is ready later; a reverse proxy answers in its place until then.
        """

        def ask() -> str:
            return self._answer(VERSIONS, right=lambda status: status == 200) or self._answer(
                MEDIA, right=lambda status: status not in NOBODY_THERE
            )

        try:
            # In a process of its own: one byte now and then would keep a connection's own time from running out.
            return self._system.as_user(os.geteuid(), os.getegid(), ask, ANSWER_SECONDS)
        except OSError as error:
            return str(error)

    def _answer(self, path: str, right: Callable[[int], bool]) -> str:
        """Return what is wrong with the answer to a request without a token, or an empty text."""
        try:
            request = urllib.request.Request(self._host.homeserver_url + path, headers=HEADERS)
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return "" if right(answer.status) else f"status {answer.status}"
        except urllib.error.HTTPError as error:
            said = " ".join(error.read(LONGEST_ANSWER).decode(errors="replace").split())
            told = f"status {error.code} {error.reason}" + (f" ({said})" if said else "")
            return "" if right(error.code) else f"{told} for {path}"
        except TROUBLE as error:
            return str(getattr(error, "reason", error) or type(error).__name__)

    def wait(self) -> None:
        """Return once the homeserver answers. Raises `Problem` where it does not within host.startSeconds."""
        url, patience = self._host.homeserver_url, self._host.start_seconds
        trouble = ""

        def answers() -> bool:
            nonlocal trouble
            trouble = self.trouble()
            return not trouble

        if not self._system.wait_until(answers, patience, every=0.2):
            raise Problem(
                f"the homeserver does not answer at {url} {patience} s after its start: {trouble}",
                "see journalctl -u matrix-synapse on the server; host.startSeconds gives a slow one more time",
            )

    def upload(self, body: bytes) -> tuple[str, str]:
        """Upload a file through the client API, and return its server and its media id.

        Raises an error of `TROUBLE` where that fails, and KeyError or ValueError where the answer names no file.
        """
        answer = self._call("POST", "/_matrix/media/v3/upload?filename=matrix-media-store-probe", body)
        server, media_id = json.loads(answer)["content_uri"][len("mxc://") :].split("/")
        return server, media_id

    def download(self, server: str, media_id: str) -> bytes:
        """Return the content of a file by the client API. Raises an error of `TROUBLE` where that fails."""
        return self._call("GET", f"/_matrix/client/v1/media/download/{server}/{media_id}")

    def _call(self, method: str, path: str, body: bytes = b"") -> bytes:
        request = urllib.request.Request(
            self._host.homeserver_url + path, data=body or None, method=method,
            headers={
                **HEADERS,
                "Authorization": f"Bearer {self._host.access_token}",
                "Content-Type": "application/octet-stream",
            },
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read(LARGEST))
