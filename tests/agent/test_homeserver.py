"""How the homeserver is asked, and what is said where it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent.host.system import System
from agent.model.errors import Problem
from agent.model.settings import HostSettings
from agent.serving.homeserver import Homeserver
from agent.setup import preflight


@contextmanager
def proxy(status: int = 200, refused: str = "Python-urllib", media: int = 401) -> Iterator[str]:
    """The address of a proxy that answers with these statuses, and refuses whoever calls itself so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            robot = refused in self.headers["User-Agent"]
            self.send_response(403 if robot else media if "/media/" in self.path else status)
            self.end_headers()
            self.wfile.write(b"error code:\n 1010" if robot else b"{}")

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # it looks so often for its end
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def homeserver(url: str) -> Homeserver:
    return Homeserver(HostSettings(homeserver_url=url, start_seconds=0), System())


def test_a_proxy_that_refuses_robots_lets_this_program_in() -> None:
    """Review, entry 31: Cloudflare answers 'Python-urllib' with 403 and error 1010."""
    with proxy() as url:
        assert homeserver(url).trouble() == ""


def test_what_a_proxy_says_is_in_the_error_with_its_status() -> None:
    with proxy(refused="matrix-media-store") as url, pytest.raises(Problem) as caught:
        preflight.check_homeserver(homeserver(url), url)
    assert "status 403 Forbidden (error code: 1010)" in str(caught.value) and "behind a NAT" in caught.value.fix
    with proxy(502) as url, pytest.raises(Problem, match="after its start: status 502 Bad Gateway"):
        homeserver(url).wait()


def test_an_address_where_nobody_is_has_its_reason() -> None:
    assert "refused" in homeserver("http://127.0.0.1:9").trouble()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_worker_for_media_that_is_not_there_yet_is_waited_for(status: int) -> None:
    """Behind the playbook's reverse proxy Synapse answers before its worker does, and the proof would fail."""
    with proxy(media=status) as url:
        assert homeserver(url).trouble().startswith(f"status {status} ")
        with pytest.raises(Problem, match=f"status {status} .* for /_matrix/client/v1/media/config"):
            homeserver(url).wait()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_homeserver_too_old_for_the_question_or_that_wants_a_token_answers(status: int) -> None:
    with proxy(media=status) as url:
        assert homeserver(url).trouble() == ""
