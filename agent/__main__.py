"""This is the agent's entry: the words of its command line and its standard input make one typed command.

The command's answer is the last line of the output, as JSON; where it failed, a line for each problem is in its place.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from .commands import find
from .commands.arguments import parse
from .host.console import failure, verdict
from .model.errors import Problem, Problems

#: The verb that a status key runs. Whoever has such a key writes its standard input, so that is not read.
DEAF = "asked"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that `argv` names, and return the exit status: 0, or 1 where it failed.

    It prints a line for each problem, which says what is wrong and how to mend it. `argv` is that of the process where
    it is None. An error that is none of `commands.failures.EXPECTED` is a defect of the agent, and is raised.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    deaf = words[:1] == [DEAF] or {"-h", "--help", "--version"} & {*words} or sys.stdin is None or sys.stdin.isatty()
    problems: list[str]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Whatever a name holds: at output that is no UTF-8 the command provider fails, though the work was done.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    os.umask(0o077)  # what the agent writes is root's alone, unless it says otherwise
    try:
        command = parse(words, "" if deaf else sys.stdin.read())
        verdict(find(command.verb)(command))
        return 0
    except Problems as error:
        problems = [str(problem) for problem in error.problems]
    except Problem as error:
        problems = [str(error)]
    except Exception as error:
        from .commands.failures import EXPECTED, one_line

        if not isinstance(error, EXPECTED):
            raise
        problems = [one_line(error)]
    for problem in problems:
        failure(problem)
    return 1


if __name__ == "__main__":
    sys.exit(main())
