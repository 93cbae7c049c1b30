"""A store on a pretended server, and its ways from phase to phase."""

from __future__ import annotations

from agent.migration import converge
from agent.model.phases import Phase, Side
from agent.state.journal import Journal

from .conftest import Machine

FILES = {
    "local_content/aa/bb/one": b"one",
    "local_content/aa/bb/empty": b"",
    "remote_content/[::1]:8448/aa/bb/two": b"two",
    "local_thumbnails/aa/bb/one/32-32-image-png-crop": b"small",
}


def fill(server: Machine) -> None:
    for path, body in FILES.items():
        server.write(path, body)
    server.write("url_cache/2026-01-01/preview", b"left out")


def go(server: Machine, phase: str) -> Journal:
    run = server.run()
    converge.converge(run, Phase(phase))
    return run.journal


def watch_starts(server: Machine) -> None:
    """The homeserver must never start over a bare or half-filled store: see what it would find."""

    def check() -> None:
        journal = server.journal
        assert journal.serving in (Side.LOCAL, Side.BUCKET)
        if journal.serving is Side.LOCAL:
            assert not server.system.mounted(server.store)
            found = server.tree()
            assert all(found.get(path) == body for path, body in FILES.items())
        else:
            assert server.bucket.objects.items() >= FILES.items()

    server.system.on_start = check
