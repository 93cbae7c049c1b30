"""This module has the plugin's two resources that copy, over SFTP."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko

from ..checking import Property, Values
from ..resource import Log, Resource
from .connection import CONNECTION, Transport, dial


def _sftp(inputs: Values, log: Log) -> tuple[Transport, paramiko.SFTPClient]:
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
