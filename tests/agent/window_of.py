"""A store that is in the bucket, and what changes in it before and in the window."""

from __future__ import annotations

import os

from agent.migration import changes, mirror, unaccounted
from agent.migration.window import Clock
from agent.model.phases import Owed

from .conftest import Machine

FILES = {
    f"local_content/{one}{two}/cc/{number}": b"%d" % number
    for number, (one, two) in enumerate([("a", "a"), ("a", "b"), ("b", "a")])
}


FILES |= {"local_thumbnails/aa/bb/one/32-32-image-png-crop": b"small", "at the top": b"top", "one/deep": b"deep"}


def fill(server: Machine) -> None:
    for path, body in FILES.items():
        server.write(path, body)


class Told:
    """A listener that heard of these paths; or lost some."""

    def __init__(self, *paths: str, lost: bool = False) -> None:
        self.paths = None if lost else set(paths)

    def take(self) -> set[str] | None:
        return self.paths


def mirrored(server: Machine, listener: Told | None = None) -> changes.Baseline:
    """The server's store is in the bucket; what is known of it."""
    fill(server)
    run = server.run()
    mirror.mirror(run)
    return changes.before_window(run, listener)[1]


def in_window(server: Machine, known: changes.Baseline) -> changes.Found:
    """What the window finds, in time."""
    return changes.in_window(server.run(), known, Clock(300))


def after_window(server: Machine) -> None:
    """What is done once the services run again."""
    run = server.run()
    run.journal.owed.add(Owed.PURGES)
    unaccounted.pay_purges(run)


def counts(server: Machine, known: changes.Baseline) -> tuple[int, int]:
    """How many files changed and how many were removed in the window."""
    found = in_window(server, known)
    return found.changed, found.gone


def rewrite(server: Machine, path: str, body: bytes) -> None:
    """Other content of the same size, and the time of the last change as it was."""
    file = server.store / path
    info = file.stat()
    file.write_bytes(body)
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
