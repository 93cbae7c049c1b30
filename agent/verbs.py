"""What the agent's verbs do. Each takes its arguments and the settings that came with them, and returns its answer."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import math
import sqlite3
import subprocess
from collections.abc import Callable
from typing import Any

from . import (
    VERSION,
    converge,
    empty,
    handover,
    install,
    mount,
    places,
    recovery,
    remount,
    status_keys,
    watchdog,
    worker,
)  # fmt: skip
from . import status as status_verb
from .console import say
from .context import Context
from .errors import Problem
from .files import NO_ROOM, write_dearly
from .guard import hold
from .journal import REMOUNT, locked
from .s3 import StoreError
from .system import CommandFailed

#: Seconds between two tries to finish what was interrupted, where the disk is full.
FULL_SECONDS = 5.0
#: Failures of the world outside, told in one line; anything else is a defect and keeps its traceback.
EXPECTED = (
    StoreError, CommandFailed, OSError, http.client.HTTPException, subprocess.TimeoutExpired, sqlite3.Error,
)  # fmt: skip


def _status(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    context = Context.load(places.HERE, document)
    if arguments.wait and Context.load(places.HERE).settings.host.stack in ("", context.settings.host.stack):

        def out_of_the_way() -> bool:
            request = worker.running(places.HERE, context.system)
            return request is None or request["target"] == arguments.phase

        context.system.wait_until(out_of_the_way, arguments.wait, every=0.5)
        context = Context.load(places.HERE, document)
    answer = status_verb.observe(context)
    if arguments.count:
        answer.update(status_verb.count(context))
    if arguments.phase and context.journal.phase != arguments.phase:
        answer["plan"] = status_verb.plan(context, arguments.phase)
    return answer


def _asked(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    return _status(status_keys.question(arguments.parser, arguments.command), {})


def _install(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    with locked(places.HERE):
        install.install(Context.load(places.HERE, document), arguments.sha256, document)
    return {"version": VERSION}


def _mount(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    with locked(places.HERE):
        # First the new settings: they may be what a mount that does not come up was waiting for.
        context = Context.load(places.HERE, document)
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
        with worker.starting(places.HERE):
            request = worker.running(places.HERE, context.system)
            request = request or worker.start(places.HERE, context.system, REMOUNT)
        _passed(worker.follow(places.HERE, context.system, request, say))
    return {"version": VERSION}


def _converge(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """Attach to a run to the same phase; wait for one to another; else start, if the server is as it was seen."""
    if document:
        install.keep_migration(places.HERE, document)
    while True:
        with worker.starting(places.HERE):
            context = Context.load(places.HERE)
            request = worker.running(places.HERE, context.system)
            if request:
                say(f"attached to the run to {request['target']} that is under way")
            elif converge.settled(context, arguments.phase):
                converge.check_serves(context)
                return {"already": True, **converge.facts(context)}
            else:
                converge.check_generation(context, arguments.after)
                request = worker.start(places.HERE, context.system, arguments.phase, arguments.after)
        done = worker.follow(places.HERE, context.system, request, say)
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
        with contextlib.suppress(OSError), open(places.HERE.progress, "a", encoding="utf-8") as progress:
            progress.write(text + "\n")  # a full disk must not end the work

    try:
        with locked(places.HERE):
            context = Context.load(places.HERE)
            context.say = tell
            if arguments.target == REMOUNT:
                remount.remount(context)
            else:
                converge.check_generation(context, arguments.after)
                converge.converge(context, arguments.target, arguments.after)
        done = {"ok": True, **converge.facts(context)}
    except Problem as problem:
        done = {"ok": False, "what": problem.what, "fix": problem.fix}
    except EXPECTED as error:
        done = {"ok": False, "what": one_line(error), "fix": "see journalctl -u matrix-media-store-converge"}
    write_dearly(places.HERE.verdict, {"id": arguments.id, **done}, places.HERE.reserve)
    return done


def _recover(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    """A disk that is full is waited for: until the journal can be written, the services' guards hold them."""
    while True:
        try:
            with locked(places.HERE, wait=math.inf):
                context = Context.load(places.HERE)
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
        holder = Context.load(places.HERE).settings.host.stack
        if arguments.stack and holder not in ("", arguments.stack):
            say(f"stack {holder} holds this server now: nothing is undone here")
            return {"held_by": holder}
        return run(arguments, document)

    return guarded


def _home(arguments: argparse.Namespace, everything: bool, document: dict[str, Any]) -> dict[str, Any]:
    """Delete verbs: the store comes home first, whatever the state believed."""
    if not converge.settled(Context.load(places.HERE), "local"):
        if not places.HERE.agent.exists():
            install.place_agent(places.HERE, install.this_agent())
        arguments.phase, arguments.after = "local", "any"
        _converge(arguments, {})
    with locked(places.HERE):
        if everything and arguments.empty_bucket:
            install.check_told_bucket(places.HERE, document)
            empty.empty(Context.load(places.HERE, document))
        install.uninstall(Context.load(places.HERE), everything)
    return {"phase": "local"}


def _give_way(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    handover.give_way(Context.load(places.HERE))
    return {"gave_way": True}


def _guard(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    hold(Context.load(places.HERE))
    return {"guard": "passed"}


def _watch(arguments: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    watchdog.watch(lambda: Context.load(places.HERE))
    raise AssertionError("unreachable")


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:2000]


Verb = Callable[[argparse.Namespace, dict[str, Any]], dict[str, Any]]
#: By the name with which each is called.
VERBS: dict[str, Verb] = {
    "status": _status,
    "asked": _asked,
    "install": _install,
    "mount": _mount,
    "converge": _unless_lost(_converge),
    "unmount": _unless_lost(lambda arguments, document: _home(arguments, False, document)),
    "uninstall": _unless_lost(lambda arguments, document: _home(arguments, True, document)),
    "work": _work,
    "recover": _recover,
    "guard": _guard,
    "give-way": _give_way,
    "watch": _watch,
}
