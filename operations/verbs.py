"""This module runs the verbs of `media-store`: each takes what the command line says, and returns the exit status.

What a verb needs is imported once it runs: Pulumi's Automation API takes most of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

from .terminal import Terminal, asking, say, show_anew
from .workspace import OperationError, config_file, opened, selection_kept

#: The exit status where nothing drifted, and an update is still to come or under way.
WAITS = 3


def init(arguments: argparse.Namespace) -> int:
    """Make a new stack."""
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
        arguments.secrets_provider,
        arguments.use_agent,
        tuple(arguments.more),
    )
    init.init(given, Terminal(), say)
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Preview a stack, in another phase where one is named."""
    from . import plan

    with opened(arguments.stack) as stack:
        plan.plan(stack, arguments.phase, say)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Compare server and bucket with the stack, or show over and over what the server does."""
    from . import status

    if arguments.watch and arguments.json:
        raise OperationError("--watch is for people, --json for machines -- use one of them")
    with opened(arguments.stack) as stack:
        if arguments.watch:
            with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
                status.watch(stack, arguments.every, show_anew())
            return 0
        found = status.ask(stack)
    print(json.dumps(status.document(found)) if arguments.json else "\n".join(status.lines(found)))
    return 1 if found.drift else WAITS if found.waits else 0


def history(arguments: argparse.Namespace) -> int:
    """List the stack's updates."""
    from . import history

    with opened(arguments.stack) as stack:
        secure = history.encrypted(config_file(arguments.stack).read_bytes())
        print("\n".join(history.table(history.updates(stack), secure)))
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    """Go back to the configuration of an earlier update."""
    from . import rollback

    with opened(arguments.stack) as stack:
        agreed = asking(arguments.stack, arguments.yes)
        return _changed(rollback.rollback(stack, arguments.to, arguments.named, agreed, say))


def move(arguments: argparse.Namespace) -> int:
    """Move the media to another store of the stack."""
    from . import move

    with opened(arguments.stack) as stack:
        return _changed(move.move(stack, arguments.to, asking(arguments.stack, arguments.yes), say))


def _changed(done: bool) -> int:
    if not done:
        print("nothing was changed")
    return 0 if done else 1


def report(arguments: argparse.Namespace) -> int:
    """Say where the newest page about the stack is, and open it where that is asked for."""
    from . import report

    page = report.newest(arguments.stack)
    print(page)
    if arguments.open:
        report.show(page)
    return 0


def playbook_vars(arguments: argparse.Namespace) -> int:
    """Print the playbook's lines."""
    from . import playbook_vars

    with opened(arguments.stack) as stack:
        print(playbook_vars.lines(stack))
    print("these hold the bucket's keys: encrypt their values (ansible-vault encrypt_string)", file=sys.stderr)
    return 0


def fleet_plan(arguments: argparse.Namespace) -> int:
    """Preview every stack."""
    from . import fleet

    found = fleet.preview_all(arguments.phase, arguments.stacks)
    print("\n".join(fleet.lines(found)))
    return 2 if any(preview.problem for preview in found) else 0


def fleet_up(arguments: argparse.Namespace) -> int:
    """Update every stack, so many at once, to a phase where one is named."""
    from . import fleet, waves

    stacks = fleet.known(arguments.stacks)
    if not stacks:
        raise OperationError(fleet.NONE)
    say("\n".join(waves.intended(stacks, arguments.phase)))
    if not asking(f"{len(stacks)} stacks", arguments.yes)():
        return _changed(False)
    with selection_kept(), waves.table() as show:
        members = waves.run(stacks, arguments.phase, arguments.at_once, arguments.stop_after, waves.update, show)
    say("\n".join(waves.summary(members)))
    return 2 if any(member.state not in waves.WELL for member in members) else 0


def sse_key(arguments: argparse.Namespace) -> int:
    """Make a key for SSE-C."""
    from . import sse_key

    print("\n".join(sse_key.make(arguments.stack)))
    return 0


def completion(arguments: argparse.Namespace) -> int:
    """Print what a shell completes words by."""
    import shtab

    from .arguments import parser

    print(shtab.complete(parser(), arguments.shell))
    return 0
