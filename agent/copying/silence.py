"""This module ends a program that was stopped, and so would never end by itself."""

from __future__ import annotations

import subprocess
import threading
import time


class Silence:
    """This class ends a program that says nothing for too long: whoever owns the store may stop it for good."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        """Begin to watch, in a thread of its own, until the program ended."""
        self._process, self._seconds, self._heard = process, seconds, time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def broken(self) -> None:
        """Note that the program said something."""
        self._heard = time.monotonic()

    def _watch(self) -> None:
        while self._process.poll() is None:
            left = self._heard + self._seconds - time.monotonic()
            if left <= 0:
                self._process.kill()
                return
            time.sleep(min(left, 5))
