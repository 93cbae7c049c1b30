"""This module is the person at the terminal, who is told and asked; answers may be piped in, a line each."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable

from .workspace import OperationError


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def show_anew() -> Callable[[list[str]], None]:
    """Return what shows lines in the place of those before at a terminal, and below them elsewhere."""

    def show(lines: list[str]) -> None:
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[2J")
        print("\n".join(lines), flush=True)

    return show


def asking(what: str, yes: bool) -> Callable[[], bool]:
    """Return what asks whether a change is to be applied to `what`; with `yes` it does not ask."""

    def agreed() -> bool:
        if yes:
            return True
        try:
            return input(f"apply this to {what}? Type yes: ").strip() == "yes"
        except EOFError:
            return False

    return agreed


class Terminal:
    """A `Terminal` is who answers the questions of `init`."""

    def ask(self, question: str, default: str = "") -> str:
        """Return the answer to a question, or the default where it is empty.

        Raises OperationError at the input's end.
        """
        return self._read(input, f"{question}{f' [{default}]' if default else ''}: ") or default

    def ask_secret(self, question: str) -> str:
        """Return the answer to a question, which a terminal does not show. Raises OperationError at the input's end."""
        return self._read(getpass.getpass if sys.stdin.isatty() else input, f"{question} (not shown): ")

    def agrees(self, question: str) -> bool:
        """Return whether the answer is `yes`. Raises OperationError at the input's end."""
        return self._read(input, f"{question} Type yes: ") == "yes"

    def _read(self, how: Callable[[str], str], question: str) -> str:
        try:
            return how(question).strip()
        except EOFError:
            raise OperationError("no answer; nothing was written -- answer each question") from None
