"""What the agent prints: progress lines, and a verdict as the last."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

#: Seconds between progress lines.
PROGRESS_SECONDS = 5


def say(text: str) -> None:
    """One progress line."""
    print(text, flush=True)


class Sometimes:
    """Passes progress lines on, one every PROGRESS_SECONDS at most."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        if time.monotonic() - self._said > PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._say(text)


def verdict(document: dict[str, Any]) -> None:
    """The last line of a verb's output: one JSON object."""
    sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
    sys.stdout.flush()
