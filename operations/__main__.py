"""This module is the command `media-store`: a verb, and for most the stack it is for. See each verb's --help."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .arguments import parser
from .workspace import OperationError, last_line


def main(words: Sequence[str] | None = None) -> int:
    """Run a verb, and return the exit status, which `STATUSES` explains; errors are one line each."""
    arguments = parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except OperationError as error:
        problem = str(error)
    except FileNotFoundError as error:
        is_program = os.sep not in str(error.filename)
        remedy = "install it, or put it on the PATH" if is_program else "the stack's configuration is read from it"
        problem = f"{error.filename} is not there -- {remedy}"
    except KeyboardInterrupt as interrupt:
        print(f"error: {str(interrupt) or 'interrupted -- run it again'}", file=sys.stderr)
        return 130
    except Exception as error:
        from pulumi.automation.errors import CommandError, InvalidVersionError

        if not isinstance(error, (CommandError, InvalidVersionError)):
            raise
        problem = last_line(error) if isinstance(error, CommandError) else str(error)
    print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
