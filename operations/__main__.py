"""`python -m operations init|history|rollback|status|playbook-vars --stack NAME`, or `fleet`; see each verb's --help.

Exit status: 0 done, 1 drift was found or nothing was agreed to, 2 it could not be done.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path

from pulumi.automation.errors import CommandError

from . import fleet, history, init, playbook_vars, rollback, status
from .workspace import OperationError, config_file, last_line, opened


def _history(arguments: argparse.Namespace) -> int:
    with opened(arguments.stack) as stack:
        secure = history.encrypted(config_file(arguments.stack).read_bytes())
        print("\n".join(history.table(history.updates(stack), secure)))
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    def agreed() -> bool:
        if arguments.yes:
            return True
        try:
            return input(f"apply this to {arguments.stack}? Type yes: ").strip() == "yes"
        except (EOFError, KeyboardInterrupt):
            return False

    with opened(arguments.stack) as stack:
        done = rollback.rollback(stack, arguments.to, arguments.named, agreed, lambda line: print(line, flush=True))
    if not done:
        print("nothing was changed")
    return 0 if done else 1


def _status(arguments: argparse.Namespace) -> int:
    with opened(arguments.stack) as stack:
        found = status.ask(stack)
    print(json.dumps(status.document(found)) if arguments.json else "\n".join(status.lines(found)))
    return 1 if found.drift else 0


def _playbook_vars(arguments: argparse.Namespace) -> int:
    with opened(arguments.stack) as stack:
        print(playbook_vars.lines(stack))
    print("these hold the bucket's keys: encrypt their values (ansible-vault encrypt_string)", file=sys.stderr)
    return 0


class _Terminal:
    """A person at a terminal; or answers piped in, a line each."""

    def ask(self, question: str, default: str = "") -> str:
        return self._read(input, f"{question}{f' [{default}]' if default else ''}: ") or default

    def ask_secret(self, question: str) -> str:
        return self._read(getpass.getpass if sys.stdin.isatty() else input, f"{question} (not shown): ")

    def agrees(self, question: str) -> bool:
        return self._read(input, f"{question} Type yes: ") == "yes"

    def _read(self, how: Callable[[str], str], question: str) -> str:
        try:
            return how(question).strip()
        except (EOFError, KeyboardInterrupt):
            raise OperationError("no answer; nothing was written") from None


def _init(arguments: argparse.Namespace) -> int:
    given = init.Given(
        arguments.stack,
        arguments.vars,
        arguments.host,
        arguments.user,
        arguments.private_key,
        arguments.host_key,
        arguments.port,
    )
    init.init(given, _Terminal(), lambda line: print(line, flush=True))
    return 0


def _fleet(arguments: argparse.Namespace) -> int:
    found = fleet.preview_all()
    print("\n".join(fleet.lines(found)))
    return 2 if any(preview.problem for preview in found) else 0


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="python -m operations", description=__doc__)
    verbs = main.add_subparsers(dest="verb", required=True)
    past = verbs.add_parser("history", help="list the stack's updates and what each changed")
    past.set_defaults(run=_history)
    back = verbs.add_parser("rollback", help="go back to the configuration of an earlier update")
    back.add_argument("--to", type=int, required=True, metavar="N", help="the update's number in the history")
    back.add_argument(
        "--named", action="append", default=[], metavar="SETTING",
        help="take this one from then too, although it is a credential, the connection or a key",
    )  # fmt: skip
    back.add_argument("--yes", action="store_true", help="do not ask")
    back.set_defaults(run=_rollback)
    now = verbs.add_parser("status", help="compare server and bucket with the stack")
    now.add_argument("--json", action="store_true", help="for machines")
    now.set_defaults(run=_status)
    lines = verbs.add_parser("playbook-vars", help="the lines for vars.yml with which the playbook mounts the bucket")
    lines.set_defaults(run=_playbook_vars)
    new = verbs.add_parser("init", help="make a new stack, from a playbook's vars.yml or from answers")
    new.set_defaults(run=_init)
    new.add_argument("--vars", type=Path, metavar="FILE", help="the playbook's inventory/host_vars/<domain>/vars.yml")
    new.add_argument("--host", default="", help="name or address of the server")
    new.add_argument("--port", type=int, default=22, help="port of SSH")
    new.add_argument("--user", default="", help="SSH user; root where it is left out")
    new.add_argument("--private-key", type=Path, metavar="FILE", help="SSH private key")
    new.add_argument("--host-key", default="", help="the server's, where it was checked already; else it is asked for")
    verbs.add_parser("fleet", help="preview every stack under stacks/").set_defaults(run=_fleet)
    for verb in (past, back, now, lines, new):
        verb.add_argument("--stack", required=True)
    return main


def main() -> int:
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except OperationError as error:
        print(f"error: {error}", file=sys.stderr)
    except CommandError as error:
        print(f"error: {last_line(error)}", file=sys.stderr)
    except FileNotFoundError as error:
        print(f"error: {error.filename} is not there -- the stack's configuration is read from it", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
