"""A second server, with a store of its own: `python -m sandbox.beside PORT BUCKET` runs it until its input ends.

It is a world of its own, with the same addresses in another network. Its SSH is reached at this machine's PORT.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .world import HOME, ROOT, SERVER_ADDRESS, WORLD, enter

#: What the world beside this one is called.
NAME = f"{WORLD}b"


@dataclass(frozen=True)
class Beside:
    """A server beside this world's own: where its SSH is reached, and where its disk lies."""

    port: int
    disk: Path


@contextlib.contextmanager
def second_server(bucket: str) -> Iterator[Beside]:
    """A second server runs in the body, and in its store an empty bucket of that name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Nothing of the engine's: its folders are the other world's business.
    env = {**os.environ, "MATRIX_MEDIA_STORE_WORLD": NAME}
    argv = [sys.executable, "-m", "sandbox.beside", str(port), bucket]
    with subprocess.Popen(argv, cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as world:
        assert world.stdin and world.stdout
        try:
            said = [line for line in iter(world.stdout.readline, "ready\n") if line or world.poll() is None]
            assert world.poll() is None, "".join(said)
            yield Beside(port, HOME / NAME / "server")
        finally:
            world.stdin.close()
            world.wait()


def main() -> None:
    port, bucket = int(sys.argv[1]), sys.argv[2]
    # What listens stays in the network that it was made in; what it connects to is in the new one.
    with socket.create_server(("127.0.0.1", port)) as listener:
        enter()
        from . import server, store
        from .__main__ import down, prepare, up
        from .server import kinds

        down()
        try:
            up(fresh=True)
            prepare(kinds.wanted())
            server.up()
            store.empty_bucket(bucket)
            threading.Thread(target=_relay, args=(listener,), daemon=True).start()
            print("ready", flush=True)
            sys.stdin.read()
        finally:
            down()
            shutil.rmtree(HOME / NAME, ignore_errors=True)


def _relay(listener: socket.socket) -> None:
    """Bring every connection to the server's SSH."""
    while True:
        near, _ = listener.accept()
        far = socket.create_connection((SERVER_ADDRESS, 22))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := one.recv(1 << 16):
            other.sendall(block)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
