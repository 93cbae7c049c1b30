"""This module is the only place that makes a remote command, so its discipline stands here.

Secrets travel in `stdin` alone, as one JSON document. Everything else stands as quoted JSON in the command's text, so
that a preview shows what changes. Nothing goes to the environment. There are no triggers: a changed trigger replaces,
and to replace a live store is to undo and redo the migration.
https://www.pulumi.com/registry/packages/command/api-docs/remote/command/
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import remote

from . import zipapp
from .connection import Connection

AGENT_PATH = "/usr/local/lib/matrix-media-store/agent.pyz"
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py").read_text().strip()


def agent_text(user: str, *arguments: str, piped: bool = False) -> str:
    """Return the shell command that runs the agent with these arguments, as root.

    The agent is the one on the server, or with `piped` one that comes on standard input.
    """
    program = (
        ["python3", "-c", f"# agent {zipapp.version()}: {arguments[0]}\n{_BOOTSTRAP}"]
        if piped
        else ["python3", AGENT_PATH]
    )
    sudo = [] if user == "root" else ["sudo", "-n"]
    return shlex.join([*sudo, *program, *arguments])


def delete_text(user: str, *arguments: str) -> str:
    """Return the shell command that undoes with the agent on the server, and does nothing where that is gone.

    The undo of the command that lays the agent comes last, and brings an agent along.
    """
    return if_agent_is_there(agent_text(user, *arguments))


def if_agent_is_there(command: str) -> str:
    """Return a shell command that does nothing where the agent is gone from the server, and else what it is told."""
    return f"test ! -e {AGENT_PATH} || {command}"


def host_command(
    name: str,
    *,
    connection: Connection,
    run: pulumi.Input[str],
    delete: pulumi.Input[str],
    secrets: Mapping[str, pulumi.Input[Any]],
    depends_on: Sequence[pulumi.Resource],
    parent: pulumi.Resource,
) -> remote.Command:
    """Return a remote command that is run to create and to update; `delete` undoes it."""
    return remote.Command(
        name,
        connection=connection.args(),
        create=run,
        update=run,
        delete=delete,
        stdin=pulumi.Output.secret(pulumi.Output.json_dumps(dict(secrets))),  # type: ignore[arg-type]
        add_previous_output_in_env=False,
        # Progress as it comes; what ends the output, a verdict or an error, is told once, by whoever takes it.
        logging=remote.Logging.STDERR,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            additional_secret_outputs=["stdout", "stderr"],
        ),
    )


def verdict(stdout: pulumi.Output[str]) -> pulumi.Output[dict[str, Any]]:
    """Return the JSON document that ends a verb's output. It holds no secret, so the mark of one is taken off."""
    return pulumi.Output.unsecret(stdout).apply(last_json)


def last_json(text: str | None) -> dict[str, Any]:
    """Return the last line of `text` that is a JSON object; it is empty where there is none."""
    for line in reversed((text or "").splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                return dict(json.loads(line))
    return {}
