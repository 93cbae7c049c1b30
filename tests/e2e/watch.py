"""Every command line on this machine, the server's among them, while it watches."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

#: Looks at one process, 3 ms apart: a new one still has its parent's command line for a moment.
READS = 20


class CommandLines:
    """A context in which command lines are collected in `seen`."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def text(self) -> str:
        return "\n".join(line.replace(b"\0", b" ").decode(errors="replace") for line in self.seen)

    def _watch(self) -> None:
        reads: dict[str, int] = {}
        while not self._done.is_set():
            entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
            reads = {entry: reads.get(entry, 0) for entry in entries}  # an id may be given anew
            for entry in entries:
                if reads[entry] < READS:
                    reads[entry] += 1
                    with contextlib.suppress(OSError):
                        self.seen.add(Path(f"/proc/{entry}/cmdline").read_bytes())
            time.sleep(0.003)
