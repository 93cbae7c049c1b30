"""The agent's verbs, as they are called. Each reads one JSON document on standard input and ends with one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import VERSION
from .console import say, verdict
from .errors import Problem, Problems
from .journal import PHASES, REMOUNT
from .settings import merge


def _called(verb: str) -> Callable[[argparse.Namespace, dict[str, Any]], dict[str, Any]]:
    """What is asked in a window, for a mount about to start, must not wait until all the rest is imported."""
    if verb == "allowed":
        from .admission import allowed

        return allowed
    if verb == "answers":
        from .answers import answers

        return answers
    from .verbs import VERBS

    return VERBS[verb]


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="matrix-media-store", description="The agent of matrix-media-store.")
    main.add_argument("--version", action="version", version=VERSION)
    verbs = main.add_subparsers(dest="verb", required=True)

    def verb(name: str, text: str, settings: bool = False) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        if settings:
            made.add_argument("--settings", default="{}", help="settings by section, as JSON; secrets come on stdin")
        return made

    status = verb("status", "What holds here; with --phase, what that phase would change. Read only.", True)
    status.add_argument("--phase", choices=PHASES)
    status.add_argument("--wait", type=float, default=0, help="seconds to wait for a run to another phase")
    status.add_argument("--count", action="store_true", help="count files and bytes on both sides too")
    asked = verb("asked", "The status, for an SSH key that may ask for nothing else.")
    asked.add_argument("command")
    asked.set_defaults(parser=main)
    install_ = verb("install", "Check the server and put the agent in place.", True)
    install_.add_argument("--agent-version", help="shown in previews")
    install_.add_argument("--sha256", required=True)
    place = verb("mount", "Put goofys, rclone, credentials, units and the guard in place.", True)
    for repairing in (install_, place):
        repairing.add_argument("--repairs", default="", help="marks a run that repairs what status saw")
    move = verb("converge", "Bring the server to a phase.", True)
    move.add_argument("--phase", choices=PHASES, required=True)
    move.add_argument("--after", default="any", help="the generation that was seen, or any")
    off = verb("unmount", "Bring the store home, then take the mount away.")
    leave = verb("uninstall", "Bring the store home, then take everything away.", True)
    leave.add_argument("--empty-bucket", action="store_true", help="remove all that is in the bucket, once compared")
    for undoing in (move, off, leave):
        undoing.add_argument("--stack", default="", help="do nothing where another stack holds the server")
    work = verb("work", "Inside the transient unit only.")
    work.add_argument("--id", required=True)
    work.add_argument("--target", choices=(*PHASES, REMOUNT), required=True)
    work.add_argument("--after", default="any")
    recover = verb("recover", "Finish or undo what was interrupted.")
    recover.add_argument("--boot", action="store_true")
    verb("answers", "Return once the mount at a path answers.").add_argument("where", type=Path)
    verb("guard", "Return once the media store is there; for the services' drop-ins.")
    allowed = verb("allowed", "Whether the bucket may be mounted at a path now; waits after failures.")
    allowed.add_argument("where", type=Path)
    allowed.add_argument("--unit", required=True)
    verb("give-way", "Whether the playbook's mount may take the place of ours; for its drop-in.")
    verb("watch", "Bring back a mount that is dead or hangs; for its unit.")
    return main


def _document(text: str) -> dict[str, Any]:
    """Settings by section. Nothing of the text is told: it may hold secrets."""
    try:
        document = json.loads(text)
        if all(isinstance(values, dict) for name, values in document.items() if name != "agent"):
            return dict(document)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise Problem("the settings are no JSON object of sections", "run pulumi up; the agent is not called by hand")


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, or 1 after a line for each problem that says what is wrong and how to mend it."""
    arguments = parser().parse_args(argv)
    deaf = arguments.verb == "asked" or sys.stdin is None or sys.stdin.isatty()
    piped = "" if deaf else sys.stdin.read()
    problems: list[str]
    os.umask(0o077)  # what the agent writes is root's alone, unless it says otherwise
    try:
        secret = _document(piped or "{}")
        secret.pop("agent", None)
        document = merge(_document(getattr(arguments, "settings", "{}")), secret)
        verdict(_called(arguments.verb)(arguments, document))
        return 0
    except Problems as error:
        problems = [str(problem) for problem in error.problems]
    except Problem as error:
        problems = [str(error)]
    except Exception as error:
        from .verbs import EXPECTED, one_line

        if not isinstance(error, EXPECTED):
            raise
        problems = [one_line(error)]
    for problem in problems:
        say(f"error: {problem}")
    verdict({"error": problems})
    return 1


if __name__ == "__main__":
    sys.exit(main())
