"""This module prints what the agent says: progress to standard error, and to standard output a verdict at the end.

Whoever follows shows the progress as it comes; a verdict is for programs, and an error is told once, at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def failure(text: str) -> None:
    """Print why a verb failed, on one line in the place of its verdict."""
    print(f"error: {text}", flush=True)


def verdict(document: Mapping[str, Any]) -> None:
    """Print the last line of a verb's output: one JSON object."""
    sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
    sys.stdout.flush()
