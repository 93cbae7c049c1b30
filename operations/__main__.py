"""This module is the command `media-store`: a verb, and for all but `fleet` the stack it is for.

See each verb's --help. What a verb needs is imported once it runs: Pulumi's Automation API takes most of a second.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .workspace import OperationError, config_file, last_line, opened

STATUSES = """\
exit status:
  0    it is done
  1    drift was found, or nothing was agreed to
  2    it could not be done; one line says what is wrong and, after --, what to do
  130  it was interrupted"""


def _history(arguments: argparse.Namespace) -> int:
    from . import history

    with opened(arguments.stack) as stack:
        secure = history.encrypted(config_file(arguments.stack).read_bytes())
        print("\n".join(history.table(history.updates(stack), secure)))
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    from . import rollback

    with opened(arguments.stack) as stack:
        done = rollback.rollback(stack, arguments.to, arguments.named, _asking(arguments), _print)
    return _changed(done)


def _move(arguments: argparse.Namespace) -> int:
    from . import move

    with opened(arguments.stack) as stack:
        return _changed(move.move(stack, arguments.to, _asking(arguments), _print))


def _asking(arguments: argparse.Namespace) -> Callable[[], bool]:
    """Return what asks whether a change is to be applied; with --yes it does not."""

    def agreed() -> bool:
        if arguments.yes:
            return True
        try:
            return input(f"apply this to {arguments.stack}? Type yes: ").strip() == "yes"
        except EOFError:
            return False

    return agreed


def _print(line: str) -> None:
    print(line, flush=True)


def _changed(done: bool) -> int:
    if not done:
        print("nothing was changed")
    return 0 if done else 1


def _status(arguments: argparse.Namespace) -> int:
    from . import status

    with opened(arguments.stack) as stack:
        found = status.ask(stack)
    print(json.dumps(status.document(found)) if arguments.json else "\n".join(status.lines(found)))
    return 1 if found.drift else 0


def _playbook_vars(arguments: argparse.Namespace) -> int:
    from . import playbook_vars

    with opened(arguments.stack) as stack:
        print(playbook_vars.lines(stack))
    print("these hold the bucket's keys: encrypt their values (ansible-vault encrypt_string)", file=sys.stderr)
    return 0


class _Terminal:
    """A `_Terminal` is a person at a terminal, or answers piped in, a line each."""

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


def _init(arguments: argparse.Namespace) -> int:
    from . import init

    given = init.Given(
        arguments.stack,
        arguments.vars,
        arguments.host,
        arguments.user,
        arguments.private_key,
        arguments.host_key,
        arguments.port,
        arguments.store,
    )
    init.init(given, _Terminal(), lambda line: print(line, flush=True))
    return 0


def _fleet(arguments: argparse.Namespace) -> int:
    from . import fleet

    found = fleet.preview_all()
    print("\n".join(fleet.lines(found)))
    return 2 if any(preview.problem for preview in found) else 0


def _sse_key(arguments: argparse.Namespace) -> int:
    from . import sse_key

    print("\n".join(sse_key.make(arguments.stack)))
    return 0


class _Parser(argparse.ArgumentParser):
    """This parser says in one line what is wrong with the words, as all errors are said."""

    def error(self, message: str) -> NoReturn:
        """End the program with exit status 2 and one line that says what is wrong."""
        self.exit(2, f"error: {message} -- see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; each verb's function is its `run`."""
    main = _Parser(
        prog="media-store",
        description="What you ask of a stack besides `pulumi preview` and `pulumi up`.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs, each with its own --help")

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], what: str, example: str = "--stack prod"
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example: media-store {name} {example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run)
        if "--stack" in example:
            made.add_argument("--stack", required=True, metavar="NAME", help="the stack")
        return made

    new = verb(
        "init", _init, "make a new stack, from a playbook's vars.yml or from answers",
        "--stack prod --vars vars.yml --private-key ~/.ssh/id_ed25519",
    )  # fmt: skip
    new.add_argument("--vars", type=Path, metavar="FILE", help="the playbook's inventory/host_vars/<domain>/vars.yml")
    new.add_argument("--host", default="", help="name or address of the server")
    new.add_argument("--port", type=int, default=22, help="port of SSH")
    new.add_argument("--user", default="", help="SSH user; root where it is left out")
    new.add_argument("--private-key", type=Path, metavar="FILE", help="SSH private key")
    new.add_argument("--store", default="", metavar="KIND", help="existing, or aws or b2 for a bucket that it makes")
    new.add_argument("--host-key", default="", help="the server's, where it was checked already; else it is asked for")
    now = verb("status", _status, "compare server and bucket with the stack")
    now.add_argument("--json", action="store_true", help="for machines")
    verb("history", _history, "list the stack's updates and what each changed")
    back = verb("rollback", _rollback, "go back to the configuration of an earlier update", "--stack prod --to 3")
    back.add_argument("--to", type=int, required=True, metavar="N", help="the update's number in the history")
    back.add_argument(
        "--named", action="append", default=[], metavar="SETTING",
        help="take this one from then too, although it is a credential, the connection or a key",
    )  # fmt: skip
    back.add_argument("--yes", action="store_true", help="do not ask")
    other = verb("move", _move, "move the media to another store of the stack", "--stack prod --to frankfurt")
    other.add_argument("--to", required=True, metavar="STORE", help="its name under `stores`, or store")
    other.add_argument("--yes", action="store_true", help="do not ask")
    verb("playbook-vars", _playbook_vars, "print the lines, with keys, with which the playbook mounts the bucket")
    verb("fleet", _fleet, "preview every stack under stacks/ side by side", "")
    verb("sse-key", _sse_key, "make a key for SSE-C and set it as a secret of the stack")
    return main


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
