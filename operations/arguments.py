"""This module is the command line of `media-store`, and the only place that knows argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from . import verbs
from .workspace import PHASES, PROGRAM

STATUSES = """\
exit status:
  0    it is done
  1    drift was found, or nothing was agreed to
  2    it could not be done; one line says what is wrong and, after --, what to do
  3    nothing drifted, and an update is still to come, or under way
  130  it was interrupted"""
Run = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """This parser says in one line what is wrong with the words, as all errors are said."""

    def error(self, message: str) -> NoReturn:
        """End the program with exit status 2 and one line that says what is wrong."""
        self.exit(2, f"error: {message} -- see {self.prog} --help\n")


class _Version(argparse.Action):
    """This option says the versions, which nobody else waits for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """End the program once it has said its version, and that of the agent that it sends to servers."""
        from importlib.metadata import version

        from components.host import zipapp

        print(f"{PROGRAM} {version(PROGRAM)}, agent {zipapp.version()}")
        parser.exit()


#: What a parser's verbs are added to.
_Verbs = argparse._SubParsersAction  # argparse has no public name for it


def _verb(
    to: _Verbs[_Parser], name: str, run: Run, what: str, example: str = "--stack prod", within: str = ""
) -> _Parser:
    """Add a verb with its help; one whose example names a stack takes that."""
    made = to.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example: media-store {within}{name} {example}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    if "--stack" in example:
        made.add_argument("--stack", required=True, metavar="NAME", help="the stack")
    return made


def _a_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _phase(to: _Parser, text: str) -> None:
    to.add_argument("--phase", choices=PHASES, default="", help=text)


def _yes(to: _Parser) -> None:
    to.add_argument("--yes", action="store_true", help="do not ask")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; each verb's function is its `run`."""
    main = _Parser(
        prog="media-store",
        description="What you ask of a stack besides `pulumi preview` and `pulumi up`.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main.add_argument("--version", action=_Version, nargs=0, help="say the program's version, and the agent's, and end")
    to = main.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs, each with its own --help")
    _init(to)
    plan = _verb(to, "plan", verbs.plan, "preview what `pulumi up` would do", "--stack prod --phase live")
    _phase(plan, "as if the stack said this phase; its file stays as it is")
    now = _verb(to, "status", verbs.status, "compare server and bucket with the stack")
    now.add_argument("--json", action="store_true", help="for machines")
    now.add_argument("--watch", action="store_true", help="show over and over what the server does, until Ctrl-C")
    now.add_argument("--every", type=_a_number, default=5, metavar="SECONDS", help="with --watch: how often; 5")
    _verb(to, "history", verbs.history, "list the stack's updates and what each changed")
    back = _verb(
        to, "rollback", verbs.rollback, "go back to the configuration of an earlier update", "--stack prod --to 3"
    )
    back.add_argument("--to", type=int, required=True, metavar="N", help="the update's number in the history")
    back.add_argument(
        "--named", action="append", default=[], metavar="SETTING",
        help="take this one from then too, although it is a credential, the connection or a key",
    )  # fmt: skip
    _yes(back)
    other = _verb(to, "move", verbs.move, "move the media to another store of the stack", "--stack prod --to frankfurt")
    other.add_argument("--to", required=True, metavar="STORE", help="its name under `stores`, or store")
    _yes(other)
    page = _verb(to, "report", verbs.report, "say where the page about the last update that moved something is")
    page.add_argument("--open", action="store_true", help="open it in a browser too")
    _verb(
        to, "playbook-vars", verbs.playbook_vars,
        "print the lines, with keys, with which the playbook mounts the bucket",
    )  # fmt: skip
    _fleet(to)
    _verb(to, "sse-key", verbs.sse_key, "make a key for SSE-C and set it as a secret of the stack")
    shell = _verb(to, "completion", verbs.completion, "print what your shell completes these words by", "bash")
    shell.add_argument("shell", choices=("bash", "zsh"))
    return main


def _chosen(to: _Parser) -> None:
    to.add_argument("stacks", nargs="*", metavar="STACK", help="these alone; patterns such as 'eu-*' too")


def _init(to: _Verbs[_Parser]) -> None:
    new = _verb(
        to, "init", verbs.init, "make a new stack, from a playbook's vars.yml or from answers",
        "--stack prod --vars vars.yml --private-key ~/.ssh/id_ed25519",
    )  # fmt: skip
    new.add_argument("--vars", type=Path, metavar="FILE", help="the playbook's inventory/host_vars/<domain>/vars.yml")
    new.add_argument("--host", default="", help="name or address of the server")
    new.add_argument("--port", type=int, default=22, help="port of SSH")
    new.add_argument("--user", default="", help="SSH user; root where it is left out")
    new.add_argument("--private-key", type=Path, metavar="FILE", help="SSH private key")
    new.add_argument(
        "--use-agent", action="store_true", help="SSH goes by the keys of your SSH agent; no key is stored"
    )
    new.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", dest="more",
        help="a further setting, such as mount.cache=20G; none that is secret",
    )  # fmt: skip
    new.add_argument(
        "--store",
        default="",
        metavar="KIND",
        help="existing, or aws or b2 for a bucket that it makes; else it is asked",
    )
    new.add_argument(
        "--secrets-provider", default="", metavar="URL",
        help="what encrypts the stack's secrets, such as awskms://alias/matrix; else the backend, or a passphrase",
    )  # fmt: skip
    new.add_argument(
        "--host-key", default="", help="the server's SSH host key, checked already; else it is shown and asked"
    )


def _fleet(to: _Verbs[_Parser]) -> None:
    fleet = _verb(to, "fleet", verbs.fleet_plan, "preview or update every stack under stacks/, side by side", "plan")
    fleet.set_defaults(phase="", stacks=[])
    what = fleet.add_subparsers(metavar="VERB", title="verbs; plan where it is left out")
    plan = _verb(what, "plan", verbs.fleet_plan, "preview every stack under stacks/", "--phase mirror", "fleet ")
    _chosen(plan)
    _phase(plan, "as if each stack that is not so far said this phase; their files stay as they are")
    up = _verb(
        what, "up", verbs.fleet_up, "update every stack under stacks/, so many at once; run it again to go on",
        "--phase mirror --at-once 4 --stop-after 1", "fleet ",
    )  # fmt: skip
    _chosen(up)
    _phase(up, "bring each stack that is not so far to this phase; those that are beyond it are left alone")
    up.add_argument("--at-once", type=_a_number, default=4, metavar="N", help="stacks at once; 4")
    up.add_argument(
        "--stop-after", type=_a_number, default=1, metavar="N", help="begin no more after so many failures; 1"
    )
    _yes(up)
