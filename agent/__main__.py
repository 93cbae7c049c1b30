"""The agent's verbs. Each reads one JSON document on standard input and ends with one JSON line."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from . import VERSION, converge, empty, install, mount, recovery, remount, status_keys, watchdog, worker
from . import status as status_verb
from .context import say, verdict
from .errors import Problem, Problems
from .files import NO_ROOM, write_dearly
from .guard import hold
from .journal import PHASES, locked
from .places import Places
from .s3 import StoreError
from .settings import merge
from .system import CommandFailed

PLACES = Places()

#: Seconds between two tries to finish what was interrupted, where the disk is full.
FULL_SECONDS = 5.0
#: Failures of the world outside, told in one line; anything else is a defect and keeps its traceback.
EXPECTED = (
    StoreError, CommandFailed, OSError, http.client.HTTPException, subprocess.TimeoutExpired, sqlite3.Error,
)  # fmt: skip


def _status(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    context = install.load(PLACES, document)
    if arguments.wait and install.load(PLACES).settings.host.stack in ("", context.settings.host.stack):

        def out_of_the_way() -> bool:
            request = worker.running(PLACES, context.system)
            return request is None or request["target"] == arguments.phase

        context.system.wait_until(out_of_the_way, arguments.wait, every=0.5)
        context = install.load(PLACES, document)
    answer = status_verb.observe(context)
    if arguments.count:
        answer.update(status_verb.count(context))
    if arguments.phase and context.journal.phase != arguments.phase:
        answer["plan"] = status_verb.plan(context, arguments.phase)
    return answer


def _asked(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    return _status(status_keys.question(parser(), arguments.command), {})


def _install(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    with locked(PLACES):
        install.install(install.load(PLACES, document), arguments.sha256, document)
    return {"version": VERSION}


def _mount(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    with locked(PLACES):
        # First the new settings: they may be what a mount that does not come up was waiting for.
        context = install.load(PLACES, document)
        install.install_mount(context, document)
        recovery.recover(context)
        try:
            mount.keep_running(context)
        except Problem as problem:
            # Not the end: the way home needs the bucket, not the mount. A phase that needs it fails by itself.
            say(f"the mount does not come up: {problem}")
        context.journal.facts["repairs"] = arguments.repairs
        context.save()
    if context.journal.facts.get("remount") and context.journal.serving == "bucket":
        with worker.starting(PLACES):
            request = worker.running(PLACES, context.system)
            request = request or worker.start(PLACES, context.system, worker.REMOUNT)
        _passed(worker.follow(PLACES, context.system, request, say))
    return {"version": VERSION}


def _converge(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """Attach to a run to the same phase; wait for one to another; else start, if the server is as it was seen."""
    if document:
        install.keep_migration(PLACES, document)
    while True:
        with worker.starting(PLACES):
            context = install.load(PLACES)
            request = worker.running(PLACES, context.system)
            if request:
                say(f"attached to the run to {request['target']} that is under way")
            elif converge.settled(context, arguments.phase):
                converge.check_serves(context)
                return {"already": True, **converge.facts(context)}
            else:
                converge.check_generation(context, arguments.after)
                request = worker.start(PLACES, context.system, arguments.phase, arguments.after)
        done = worker.follow(PLACES, context.system, request, say)
        if request["target"] == arguments.phase:
            return _passed(done)


def _passed(done: dict[str, Any]) -> dict[str, Any]:
    if not done["ok"]:
        raise Problem(done["what"], done["fix"])
    return {name: value for name, value in done.items() if name not in ("ok", "id")}


def _work(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """Inside the transient unit: progress to its file and the journal, the verdict to its file."""

    def tell(text: str) -> None:
        say(text)
        with contextlib.suppress(OSError), open(PLACES.progress, "a", encoding="utf-8") as progress:
            progress.write(text + "\n")  # a full disk must not end the work

    try:
        with locked(PLACES):
            context = install.load(PLACES)
            context.say = tell
            if arguments.target == worker.REMOUNT:
                remount.remount(context)
            else:
                converge.check_generation(context, arguments.after)
                converge.converge(context, arguments.target, arguments.after)
        done = {"ok": True, **converge.facts(context)}
    except Problem as problem:
        done = {"ok": False, "what": problem.what, "fix": problem.fix}
    except EXPECTED as error:
        done = {"ok": False, "what": _one_line(error), "fix": "see journalctl -u matrix-media-store-converge"}
    write_dearly(PLACES.verdict, {"id": arguments.id, **done}, PLACES.reserve)
    return done


def _recover(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """A disk that is full is waited for: until the journal can be written, the services' guards hold them."""
    while True:
        try:
            with locked(PLACES, wait=math.inf):
                context = install.load(PLACES)
                recovery.recover(context, boot=arguments.boot)
            break
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            say(f"waiting for room on the disk: {error}")
            context.system.pause(FULL_SECONDS)
    return {"phase": context.journal.phase, "serving": context.journal.serving}


def _unless_lost(run: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A stack from which another took this server over undoes nothing here."""

    def guarded(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
        holder = install.load(PLACES).settings.host.stack
        if arguments.stack and holder not in ("", arguments.stack):
            say(f"stack {holder} holds this server now: nothing is undone here")
            return {"held_by": holder}
        return run(arguments, document)

    return guarded


def _home(arguments: argparse.Namespace, everything: bool, document: dict[str, Any]) -> dict[str, Any]:
    """Delete verbs: the store comes home first, whatever the state believed."""
    if not converge.settled(install.load(PLACES), "local"):
        if not PLACES.agent.exists():
            install.place_agent(PLACES, install.this_agent())
        arguments.phase, arguments.after = "local", "any"
        _converge(arguments, {})
    with locked(PLACES):
        if everything and arguments.empty_bucket:
            install.check_told_bucket(PLACES, document)
            empty.empty(install.load(PLACES, document))
        install.uninstall(install.load(PLACES), everything)
    return {"phase": "local"}


def _answers(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    process = os.environ.get("MAINPID")  # systemd's, where this is a unit's ExecStartPost
    mount.check_answers(install.load(PLACES), arguments.where, int(process) if process else None)
    return {"answers": str(arguments.where)}


def _allowed(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    context = install.load(PLACES)
    mount.check_allowed(context, arguments.where)
    mount.back_off(context, arguments.unit)
    return {"allowed": str(arguments.where)}


def _guard(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    hold(install.load(PLACES))
    return {"guard": "passed"}


def _watch(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    watchdog.watch(lambda: install.load(PLACES))
    raise AssertionError("unreachable")


def parser() -> argparse.ArgumentParser:
    from pathlib import Path

    main = argparse.ArgumentParser(prog="matrix-media-store", description="The agent of matrix-media-store.")
    main.add_argument("--version", action="version", version=VERSION)
    verbs = main.add_subparsers(dest="verb", required=True)

    def verb(
        name: str, run: Callable[..., dict[str, Any]], text: str, settings: bool = False
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        if settings:
            made.add_argument("--settings", default="{}", help="settings by section, as JSON; secrets come on stdin")
        return made

    status = verb("status", _status, "What holds here; with --phase, what that phase would change. Read only.", True)
    status.add_argument("--phase", choices=PHASES)
    status.add_argument("--wait", type=float, default=0, help="seconds to wait for a run to another phase")
    status.add_argument("--count", action="store_true", help="count files and bytes on both sides too")
    asked = verb(status_keys.VERB, _asked, "The status, for an SSH key that may ask for nothing else.")
    asked.add_argument("command")
    install_ = verb("install", _install, "Check the server and put the agent in place.", True)
    install_.add_argument("--agent-version", help="shown in previews")
    install_.add_argument("--sha256", required=True)
    place = verb("mount", _mount, "Put goofys, rclone, credentials, units and the guard in place.", True)
    for repairing in (install_, place):
        repairing.add_argument("--repairs", default="", help="marks a run that repairs what status saw")
    move = verb("converge", _converge, "Bring the server to a phase.", True)
    move.add_argument("--phase", choices=PHASES, required=True)
    move.add_argument("--after", default="any", help="the generation that was seen, or any")
    off = verb("unmount", lambda a, d: _home(a, False, d), "Bring the store home, then take the mount away.")
    leave = verb("uninstall", lambda a, d: _home(a, True, d), "Bring the store home, then take everything away.", True)
    leave.add_argument("--empty-bucket", action="store_true", help="remove all that is in the bucket, once compared")
    for undoing in (move, off, leave):
        undoing.add_argument("--stack", default="", help="do nothing where another stack holds the server")
        undoing.set_defaults(run=_unless_lost(undoing.get_default("run")))
    work = verb("work", _work, "Inside the transient unit only.")
    work.add_argument("--id", required=True)
    work.add_argument("--target", choices=(*PHASES, worker.REMOUNT), required=True)
    work.add_argument("--after", default="any")
    recover = verb("recover", _recover, "Finish or undo what was interrupted.")
    recover.add_argument("--boot", action="store_true")
    verb("guard", _guard, "Return once the media store is there; for the services' drop-ins.")
    verb("answers", _answers, "Return once the mount at a path answers.").add_argument("where", type=Path)
    allowed = verb("allowed", _allowed, "Whether the bucket may be mounted at a path now; waits after failures.")
    allowed.add_argument("where", type=Path)
    allowed.add_argument("--unit", required=True)
    verb("watch", _watch, "Bring back a mount that is dead or hangs; for its unit.")
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


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:2000]


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, or 1 after a line for each problem that says what is wrong and how to mend it."""
    arguments = parser().parse_args(argv)
    deaf = arguments.verb == status_keys.VERB or sys.stdin is None or sys.stdin.isatty()
    piped = "" if deaf else sys.stdin.read()
    problems: list[str]
    os.umask(0o077)  # what the agent writes is root's alone, unless it says otherwise
    try:
        secret = _document(piped or "{}")
        secret.pop("agent", None)
        document = merge(_document(getattr(arguments, "settings", "{}")), secret)
        verdict(arguments.run(arguments, document))
        return 0
    except Problems as error:
        problems = [str(problem) for problem in error.problems]
    except Problem as error:
        problems = [str(error)]
    except EXPECTED as error:
        problems = [_one_line(error)]
    for problem in problems:
        say(f"error: {problem}")
    verdict({"error": problems})
    return 1


if __name__ == "__main__":
    sys.exit(main())
