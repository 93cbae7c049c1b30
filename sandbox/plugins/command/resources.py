"""This module has the plugin's commands, and all of its resources by name."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import signal
import subprocess
import threading
from abc import abstractmethod
from pathlib import Path
from typing import IO, Any

from ..checking import Property, Values
from ..resource import Log, Resource
from ..values import ASSET, SIGNATURE
from .connection import CONNECTION
from .copying import CopyFile, CopyToRemote
from .output import Output
from .session import run

_COMMON = {
    "create": Property(str),
    "update": Property(str),
    "delete": Property(str),
    "triggers": Property(list, replaces=True),
    "stdin": Property(str),
    "logging": Property(str),
    "environment": Property(dict, items=Property(str)),
    "addPreviousOutputInEnv": Property(bool),
}


def _previous(inputs: Values, state: Values) -> dict[str, str]:
    """Return the variables in which a command finds what the one before it wrote."""
    if inputs.get("addPreviousOutputInEnv") is False:
        return {}
    return {f"PULUMI_COMMAND_{name.upper()}": state[name] for name in ("stdout", "stderr") if state.get(name)}


class _Command(Resource):
    """What both commands share: which of the texts is run when."""

    outputs = ("stdout", "stderr")

    @abstractmethod
    def _execute(self, command: str, inputs: Values, previous: Values, log: Log) -> Values:
        """Run it; returns its outputs. Raises RuntimeError with the published plugin's words."""

    def _run(self, command: str | None, inputs: Values, previous: Values, log: Log) -> Values:
        if command is None:
            return {name: previous.get(name, "") for name in self.outputs}
        return self._execute(command, inputs, previous, log)

    def create(self, inputs: Values, log: Log) -> Values:
        return self._run(inputs.get("create"), inputs, {}, log)

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        return self._run(inputs.get("update", inputs.get("create")), inputs, state, log)

    def delete(self, state: Values, log: Log) -> None:
        self._run(state.get("delete"), state, state, log)


class RemoteCommand(_Command):
    """`command:remote:Command`."""

    inputs = {**_COMMON, "connection": CONNECTION}

    def _execute(self, command: str, inputs: Values, previous: Values, log: Log) -> Values:
        return run(command, inputs, _previous(inputs, previous), log)


class LocalCommand(_Command):
    """`command:local:Command`."""

    inputs = {
        **_COMMON,
        "interpreter": Property(list),
        "dir": Property(str),
        "assetPaths": Property(list),
        "archivePaths": Property(list),
    }

    def _execute(self, command: str, inputs: Values, previous: Values, log: Log) -> Values:
        if inputs.get("archivePaths"):
            raise RuntimeError("the stand-in has no archivePaths")
        folder, interpreter = Path(inputs.get("dir") or Path.cwd()), inputs.get("interpreter") or ["/bin/sh", "-c"]
        output = Output(inputs.get("logging"), log)
        environment = {**os.environ, **(inputs.get("environment") or {}), **_previous(inputs, previous)}
        try:
            process = subprocess.Popen(
                [*interpreter, command], cwd=folder, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            what = f"fork/exec {interpreter[0]}" if folder.is_dir() else f"chdir {folder}"
            return output.close(f"{what}: {os.strerror(error.errno or 0).lower()}", command)
        assert process.stdin and process.stdout and process.stderr
        threads = [
            threading.Thread(target=output.drain, args=("stdout", process.stdout.read1)),  # type: ignore[attr-defined]
            threading.Thread(target=output.drain, args=("stderr", process.stderr.read1)),  # type: ignore[attr-defined]
            threading.Thread(target=_feed, args=(process.stdin, (inputs.get("stdin") or "").encode())),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with process:
            outputs = output.close(_ended(process.wait()), command)
        if inputs.get("assetPaths"):
            outputs["assets"] = _assets(folder, inputs["assetPaths"])
        return outputs


def _feed(stream: IO[bytes], stdin: bytes) -> None:
    """Write the stdin, which a local command may leave unread."""
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(stdin)


def _ended(status: int) -> str:
    """Return how the command ended, in Go's words, and nothing where it succeeded."""
    if status < 0:
        return f"signal: {(signal.strsignal(-status) or str(-status)).lower()}"
    return f"exit status {status}" if status else ""


def _assets(folder: Path, globs: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    for pattern in globs:
        exclude, bare = pattern.startswith("!"), pattern.removeprefix("!")
        expression = re.sub(r"\.\*\.\*", ".*", fnmatch.translate(bare).replace("(?s:", "(?s:"))
        if "**" not in bare:
            expression = expression.replace(".*", "[^/]*")
        for name in files:
            if re.match(expression, name):
                if exclude:
                    found.pop(name, None)
                else:
                    found[name] = {SIGNATURE: ASSET, "path": str(folder / name)}
    return found


RESOURCES: dict[str, Resource] = {
    "command:remote:Command": RemoteCommand(),
    "command:remote:CopyToRemote": CopyToRemote(),
    "command:remote:CopyFile": CopyFile(),
    "command:local:Command": LocalCommand(),
}
