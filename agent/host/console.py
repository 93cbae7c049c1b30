"""This module prints what the agent says: lines of progress, and a verdict as the last line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, flush=True)


def verdict(document: Mapping[str, Any]) -> None:
    """Print the last line of a verb's output: one JSON object."""
    sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
    sys.stdout.flush()
