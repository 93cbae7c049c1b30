"""This module is the agent's command line, and the only place that knows argparse."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..model.errors import Problem
from ..model.phases import ANY, MOVE, REMOUNT, Phase
from ..model.settings import merge, of_any_format
from ..model.version import version

#: Settings by section, secrets among them.
Document = dict[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Command:
    """A `Command` is a verb with what it was called with; what a verb does not take has its default."""

    verb: str
    document: Document = field(default_factory=dict, repr=False)
    phase: Phase | None = None
    #: Seconds to wait for a run to another phase.
    wait: float = 0
    count: bool = False
    check: bool = False
    #: What a status key asked for.
    question: str = ""
    sha256: str = ""
    #: The mark of a run that repairs what status saw.
    repairs: str = ""
    #: The generation that was seen.
    after: str = ANY
    #: The stack that asks; empty for whichever.
    stack: str = ""
    empty_bucket: bool = False
    #: The id of the request that the transient unit works on.
    id: str = ""
    target: str = ""
    boot: bool = False
    where: Path = Path("/")
    unit: str = ""


PHASES = [str(phase) for phase in Phase]


def _settings(to: argparse.ArgumentParser) -> None:
    to.add_argument("--settings", default="{}", help="settings by section, as JSON; secrets come on stdin")


def _repairs(to: argparse.ArgumentParser) -> None:
    to.add_argument("--repairs", default="", help="marks a run that repairs what status saw")


def _stack(to: argparse.ArgumentParser) -> None:
    to.add_argument("--stack", default="", help="do nothing where another stack holds the server")


def _where(to: argparse.ArgumentParser) -> None:
    to.add_argument("where", type=Path)


def _status(to: argparse.ArgumentParser) -> None:
    _settings(to)
    to.add_argument("--phase", choices=PHASES)
    to.add_argument("--wait", type=float, default=0, help="seconds to wait for a run to another phase")
    to.add_argument("--count", action="store_true", help="count files and bytes on both sides too")
    to.add_argument("--check", action="store_true", help="with --phase, look for what would stand in its way")


def _install(to: argparse.ArgumentParser) -> None:
    _settings(to)
    to.add_argument("--sha256", required=True)
    _repairs(to)


def _mount(to: argparse.ArgumentParser) -> None:
    _settings(to)
    _repairs(to)


def _converge(to: argparse.ArgumentParser) -> None:
    _settings(to)
    to.add_argument("--phase", choices=PHASES, required=True)
    to.add_argument("--after", default=ANY, help="the generation that was seen, or any")
    _stack(to)


def _uninstall(to: argparse.ArgumentParser) -> None:
    _settings(to)
    to.add_argument("--empty-bucket", action="store_true", help="remove all that is in the bucket, once compared")
    _stack(to)


def _work(to: argparse.ArgumentParser) -> None:
    to.add_argument("--id", required=True)
    to.add_argument("--target", choices=(*PHASES, REMOUNT, MOVE), required=True)
    to.add_argument("--after", default=ANY)


def _allowed(to: argparse.ArgumentParser) -> None:
    _where(to)
    to.add_argument("--unit", required=True)


def _asked(to: argparse.ArgumentParser) -> None:
    to.add_argument("question")


def _recover(to: argparse.ArgumentParser) -> None:
    to.add_argument("--boot", action="store_true")


def _nothing(to: argparse.ArgumentParser) -> None:
    return


class Verb(NamedTuple):
    """A `Verb` says what a verb does, which words it takes, and its module and function in this room."""

    text: str
    takes: Callable[[argparse.ArgumentParser], None]
    where: str


#: All verbs, by the name with which each is called.
VERBS: Mapping[str, Verb] = {
    "status": Verb("What holds here; with --phase, what that phase would change. Read only.", _status, "status:status"),
    "asked": Verb("The status, for an SSH key that may ask for nothing else.", _asked, "status:asked"),
    "install": Verb("Check the server and put the agent in place.", _install, "install:install"),
    "mount": Verb("Put goofys, rclone, credentials, units and the guard in place.", _mount, "mount:mount"),
    "converge": Verb("Bring the server to a phase.", _converge, "converge:converge"),
    "unmount": Verb("Bring the store home, then take the mount away.", _stack, "home:unmount"),
    "uninstall": Verb("Bring the store home, then take everything away.", _uninstall, "home:uninstall"),
    "keep": Verb("Nothing: the stack has a store more than the one in use.", _settings, "leave:keep"),
    "leave": Verb(
        "Give a store free that is not in use, or empty its bucket, once compared.", _uninstall, "leave:leave"
    ),
    "work": Verb("Inside the transient unit only.", _work, "work:work"),
    "recover": Verb("Finish or undo what was interrupted.", _recover, "recover:recover"),
    "answers": Verb("Return once the mount at a path answers.", _where, "answers:answers"),
    "detach": Verb("Take every mount off a path.", _where, "detach:detach"),
    "guard": Verb("Return once the media store is there; for the services' drop-ins.", _nothing, "guard:guard"),
    "allowed": Verb(
        "Whether the bucket may be mounted at a path now; waits after failures.", _allowed, "allowed:allowed"
    ),
    "give-way": Verb(
        "Whether the playbook's mount may take the place of ours; for its drop-in.", _nothing, "give_way:give_way"
    ),
    "local-serves": Verb(
        "Whether the local store serves; for the drop-in of a job that removes files.",
        _nothing,
        "local_serves:local_serves",
    ),
    "let-go": Verb("Let services go on that are held for too long; for its timer.", _nothing, "let_go:let_go"),
    "metrics": Verb("Tell Prometheus how the media store is; for its timer.", _nothing, "metrics:tell"),
    "watch": Verb("Bring back a mount that is dead or hangs; for its unit.", _nothing, "watch:watch"),
}


def _parser(first: str) -> argparse.ArgumentParser:
    """Return the parser for words of which the first is given.

    Where that is a verb, the parser knows that verb alone: it is made sooner, and a mount may wait.
    """
    main = argparse.ArgumentParser(prog="matrix-media-store", description="The agent of matrix-media-store.")
    if first == "--version":
        main.add_argument("--version", action="version", version=_own_version())
    verbs = main.add_subparsers(dest="verb", required=True)
    for name in [first] if first in VERBS else VERBS:
        verb = VERBS[name]
        verb.takes(verbs.add_parser(name, help=verb.text, description=verb.text))
    return main


def _own_version() -> str:
    """Return the version of the zipapp that runs, or `source` where it is none."""
    import hashlib  # nobody else here needs it, and a mount may wait for this process

    try:
        return version(hashlib.sha256(Path(sys.argv[0]).read_bytes()).hexdigest())
    except OSError:
        return "source"


def parse(argv: Sequence[str], stdin: str = "") -> Command:
    """Return the command that words and a document on standard input make.

    Raises `Problem` where settings are no JSON object of sections, SystemExit where the words are none of ours.
    """
    given = vars(_parser(argv[0] if argv else "").parse_args(argv))
    secret = _document(stdin or "{}")
    secret.pop("agent", None)
    # A command that an earlier version left in the state speaks that version's format.
    document = merge(*map(of_any_format, (_document(given.pop("settings", "{}")), secret)))
    phase = given.pop("phase", None)
    return Command(document=document, phase=Phase(phase) if phase else None, **given)


def _document(text: str) -> Document:
    """Return settings by section. A `Problem` tells nothing of the text, which may hold secrets."""
    try:
        document = json.loads(text)
        if all(isinstance(values, dict) for name, values in document.items() if name != "agent"):
            return dict(document)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise Problem("the settings are no JSON object of sections", "run pulumi up; the agent is not called by hand")
