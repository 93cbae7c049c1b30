"""This module has the agent's own errors.

A `Problem` reaches an administrator with its remedy; each of the others is told in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Problem(Exception):
    """A `Problem` is an error that an administrator can fix: it says what is wrong, and what mends it.

    Its text is one line and never holds a secret.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what} -- {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs to make an equal error: one that is passed between processes stays whole."""
        return type(self), (self.what, self.fix)


def of_later_version(what: str) -> Problem:
    """Return the `Problem` of a file that a later version of the agent wrote; `what` says how that shows."""
    return Problem(what, "run pulumi up with the version of the program that was used last; nothing was changed")


def unknown_format(subject: str, found: Any, known: int) -> Problem:
    """Return the `Problem` of a file whose format has a higher number than the agent knows.

    `subject` is the beginning of the sentence with its verb, such as `the settings have`.
    """
    return of_later_version(f"{subject} format {found}, and this version of the agent knows up to {known}")


class Busy(Problem):
    """This `Problem` says that another run is changing the server now."""


class Problems(Problem):
    """This error holds several problems, which were found by checks that changed nothing."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(each.what for each in problems), "; ".join(each.fix for each in problems))
        self.problems = list(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs to make an equal error."""
        return Problems, (self.problems,)


class StoreError(Exception):
    """This error says that the store refused a request; it has the HTTP status, the store's own code and its message.

    Its text has all three, since one code stands for many reasons, and only the message tells them apart.
    """

    def __init__(self, status: int, code: str, what: str, message: str = "") -> None:
        said = f" ({message})" if message else ""
        super().__init__(f"{what}: {status} {code}{said}")
        self.status = status
        self.code = code
        self.message = message

    @property
    def answer(self) -> str:
        """Return what the store answered: status, code and message."""
        return f"{self.status} {self.code}".strip() + (f" ({self.message})" if self.message else "")


class StoreUnavailable(StoreError):
    """This error says that the store does not answer; its status is 0 and its code is empty."""

    def __init__(self, what: str) -> None:
        super().__init__(0, "", what)
        self.args = (what,)

    @property
    def answer(self) -> str:
        """Return that there is no answer, and why."""
        return f"nothing ({self})"


class CommandFailed(Exception):
    """This error says that a program ended with another exit status than 0.

    Its text has the program's name, its first argument and the end of what it printed. No secret is among that:
    programs get secrets in files or in their environment, and do not print them.
    """

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        tail = " | ".join(output.strip().splitlines()[-3:])[-600:]
        name = argv[0].rpartition("/")[2]
        super().__init__(f"{name} {argv[1] if len(argv) > 1 else ''} ended with status {status}: {tail}")
        self.status = status
