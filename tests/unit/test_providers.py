"""What the published providers would fail at with many lines is told in one, before they are asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from components.host.connection import agent_trouble
from components.store import b2_keys

KEYS = {"b2:applicationKeyId": "id", "b2:applicationKey": "SECRET"}


def test_an_ssh_agent_that_nobody_runs_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, entry 40: the provider asks it whatever else it has, and fails."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert agent_trouble() == ""
    path = tmp_path / "agent.sock"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    assert "No such file" in agent_trouble() and "unset SSH_AUTH_SOCK" in agent_trouble()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        assert "Connection refused" in agent_trouble(), "it ended, and left its socket"
        agent.listen()
        assert agent_trouble() == ""


@pytest.fixture
def b2() -> Iterator[tuple[str, list[int]]]:
    """The address of a B2 that answers with the status that is last in the list."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status[-1])
            self.end_headers()
            self.wfile.write(json.dumps({"code": "bad_auth_token", "message": "not authorized"}).encode())

        def log_message(self, *_: object) -> None:
            return

    asked: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # it looks so often for its end
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", status
    server.shutdown()
    thread.join()
    server.server_close()
    assert set(asked) <= {"/b2api/v4/b2_authorize_account"}


def test_a_missing_half_of_b2s_key_is_told_in_one_line(b2: tuple[str, list[int]]) -> None:
    """Review, entry 46."""
    api, _ = b2
    assert b2_keys.trouble(api, {}, {}).startswith("b2:applicationKeyId and b2:applicationKey are missing")
    assert b2_keys.trouble(api, {"b2:applicationKeyId": "id"}, {}).startswith("b2:applicationKey is missing")
    assert b2_keys.trouble(api, {}, {"B2_APPLICATION_KEY_ID": "id", "B2_APPLICATION_KEY": "SECRET"}) == ""


def test_a_key_that_b2_refuses_is_told_in_one_line_and_without_the_key(b2: tuple[str, list[int]]) -> None:
    api, status = b2
    assert b2_keys.trouble(api, KEYS, {}) == ""
    status.append(401)
    told = b2_keys.trouble(api, KEYS, {})
    assert "401 bad_auth_token (not authorized) -- make a new key" in told and "SECRET" not in told
    status.append(503)
    assert b2_keys.trouble(api, KEYS, {}) == "", "the service is away: the provider will tell"
    assert b2_keys.trouble("http://127.0.0.1:9", KEYS, {}) == ""
