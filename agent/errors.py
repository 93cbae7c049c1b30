"""The one exception that reaches an administrator."""

from __future__ import annotations


class Problem(Exception):
    """Something an administrator can fix: what is wrong, and the remedy.

    Its text is one line and never holds a secret.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what} -- {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[type[Problem], tuple[str, str]]:
        """So that it comes whole out of another process."""
        return Problem, (self.what, self.fix)


class Problems(Exception):
    """Several problems found by checks that changed nothing."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
