"""The plugin's four resources."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
from abc import abstractmethod
from pathlib import Path
from typing import Any

import paramiko

from ..checking import Property, Values
from ..resource import Log, Resource
from ..values import ASSET, SIGNATURE
from .connection import CONNECTION, dial, run

_LOGGING = Property(str)
_COMMON = {
    "create": Property(str),
    "update": Property(str),
    "delete": Property(str),
    "triggers": Property(list, replaces=True),
    "stdin": Property(str),
    "logging": _LOGGING,
    "environment": Property(dict),
    "addPreviousOutputInEnv": Property(bool, default=True),
}


def _logged(inputs: Values) -> tuple[str, ...]:
    """The streams whose lines show in the console."""
    return {"none": (), "stdout": ("out",), "stderr": ("err",)}.get(inputs.get("logging") or "", ("out", "err"))


def _environment(inputs: Values, previous: Values) -> dict[str, str]:
    environment = dict(inputs.get("environment") or {})
    if inputs.get("addPreviousOutputInEnv", True):
        for name in ("stdout", "stderr"):
            if previous.get(name):
                environment[f"PULUMI_COMMAND_{name.upper()}"] = previous[name]
    return environment


def _failed(status: int, command: str, output: str, kind: str) -> RuntimeError:
    text = f"Process exited with status {status}" if kind == "remote" else f"exit status {status}"
    return RuntimeError(f"{text}: running {json.dumps(command)}:\n{output}")


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
        status, out, err, both = run(
            inputs["connection"], command, inputs.get("stdin") or "", _environment(inputs, previous),
            _logged(inputs), log,
        )  # fmt: skip
        if status:
            raise _failed(status, command, both, "remote")
        return {"stdout": out.removesuffix("\n"), "stderr": err.removesuffix("\n")}


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
        folder = Path(inputs.get("dir") or Path.cwd())
        done = subprocess.run(
            [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), command], cwd=folder, text=True, capture_output=True,
            input=inputs.get("stdin") or "", env={**os.environ, **_environment(inputs, previous)},
        )  # fmt: skip
        for name, text in (("out", done.stdout), ("err", done.stderr)):
            for line in text.splitlines() if name in _logged(inputs) else ():
                log(line)
        if done.returncode:
            raise _failed(done.returncode, command, done.stdout + done.stderr, "local")
        outputs: Values = {"stdout": done.stdout.removesuffix("\n"), "stderr": done.stderr.removesuffix("\n")}
        if inputs.get("assetPaths"):
            outputs["assets"] = _assets(folder, inputs["assetPaths"])
        return outputs


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


def _sftp(inputs: Values, log: Log) -> tuple[paramiko.Transport, paramiko.SFTPClient]:
    transport = dial(inputs["connection"], log)
    client = paramiko.SFTPClient.from_transport(transport)
    assert client is not None
    return transport, client


def _is_folder(client: paramiko.SFTPClient, path: str) -> bool | None:
    """None where nothing is there."""
    try:
        return bool((client.stat(path).st_mode or 0) & 0o040000)
    except FileNotFoundError:
        return None


def _make_folders(client: paramiko.SFTPClient, path: str) -> None:
    if path in ("", "/", ".") or _is_folder(client, path) is not None:
        return
    _make_folders(client, os.path.dirname(path))
    client.mkdir(path)


def _copy(client: paramiko.SFTPClient, source: Path, slash: bool, target: str) -> None:
    there = _is_folder(client, target)
    if source.is_dir():
        if there is None:
            _make_folders(client, target)
        if not slash:
            target = os.path.join(target, source.name)
            if _is_folder(client, target) is False:
                raise RuntimeError(f"remote path {target} exists but is not a directory")
            _make_folders(client, target)
        for path in sorted(source.rglob("*")):
            goal = os.path.join(target, str(path.relative_to(source)))
            if path.is_dir():
                _make_folders(client, goal)
            else:
                client.put(str(path), goal)
        return
    if there:
        target = os.path.join(target, source.name)
    elif there is None:
        _make_folders(client, os.path.dirname(target))
    client.put(str(source), target)


class CopyToRemote(Resource):
    """`command:remote:CopyToRemote`. Sets no mode and no owner; leaves the copy when destroyed."""

    inputs = {
        "connection": CONNECTION,
        "triggers": Property(list, replaces=True),
        "source": Property(dict, required=True),
        "remotePath": Property(str, required=True),
    }

    def create(self, inputs: Values, log: Log) -> Values:
        source = inputs["source"]
        if "uri" in source or "assets" in source:
            raise RuntimeError("asset must be a path-based file asset or a text asset")
        transport, client = _sftp(inputs, log)
        try:
            if "text" in source and not source.get("path"):
                target = inputs["remotePath"]
                if _is_folder(client, target):
                    raise RuntimeError(
                        f"remote path {target} is a directory; when using a text asset, remotePath must be a file path"
                    )
                _make_folders(client, os.path.dirname(target))
                with client.open(target, "w") as file:
                    file.write(source["text"])
            else:
                _copy(client, Path(source["path"]), source["path"].endswith("/"), inputs["remotePath"])
        finally:
            transport.close()
        return {}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        moved = state["remotePath"] != inputs["remotePath"]
        if moved or state["source"].get("hash") != inputs["source"].get("hash"):
            self.create(inputs, log)
        return {}


class CopyFile(Resource):
    """`command:remote:CopyFile`, deprecated. Has no update: every change replaces."""

    inputs = {
        "connection": CONNECTION,
        "triggers": Property(list),
        "localPath": Property(str, required=True),
        "remotePath": Property(str, required=True),
    }

    def create(self, inputs: Values, log: Log) -> Values:
        transport, client = _sftp(inputs, log)
        try:
            client.put(inputs["localPath"], inputs["remotePath"])
        finally:
            transport.close()
        return {}


RESOURCES: dict[str, Resource] = {
    "command:remote:Command": RemoteCommand(),
    "command:remote:CopyToRemote": CopyToRemote(),
    "command:remote:CopyFile": CopyFile(),
    "command:local:Command": LocalCommand(),
}
