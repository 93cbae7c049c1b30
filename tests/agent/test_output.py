"""What the agent prints is UTF-8 in one line each, whatever the names of files are: else a command counts as failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Prints as a verb does, of a name that is no UTF-8.
SCRIPT = """
import sys
from agent import __main__
from agent.host import console
from agent.commands import arguments
from agent.model.errors import Problem
def parse(*_):
    console.say("progress of a\\udcff name")
    raise Problem("trouble with a\\udcff name", "rename it")
__main__.parse = parse
sys.exit(__main__.main(["guard"]))
"""


def test_a_name_that_is_no_utf_8_is_told_in_utf_8_whatever_the_locale() -> None:
    """Review, entry 45."""
    for locale in ("C", "C.UTF-8", "POSIX"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, cwd=Path(__file__).parents[2],
            env={"LC_ALL": locale, "PATH": "/usr/bin:/bin"}, input=b"",
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stdout.decode() == "error: trouble with a\\udcff name -- rename it\n"
        assert done.stderr.decode() == "progress of a\\udcff name\n"
