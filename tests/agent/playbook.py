"""The playbook's own mount of the bucket on a pretended server."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.model.phases import Phase, Side, Stage, Window
from agent.model.settings import parse

from .conftest import PROGRAMS, Machine

STORE = {"endpoint": "https://store.test", "region": "r", "bucket": "b", "access_key_id": "k", "secret_access_key": "s"}
#: As the playbook writes it, but for the container.
ITS_KEYS = "AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=s\n"
ITS_UNIT = "EnvironmentFile={keys}\nExecStart=goofys -f --endpoint=https://store.test --region r b {store}\n"
DOCKER = "ExecStart=docker run --env-file={keys} --mount type=bind,src={store},dst=/s3 i \\\n -c 'goofys -f %s /s3'"
AWS = {"endpoint": "https://s3.eu-west-1.amazonaws.com", "region": "eu-west-1"}


def tell(server: Machine, managed_by: str = "playbook", **store: str) -> None:
    server.settings = parse(
        {
            "host": {"media_store": str(server.store)},
            "store": {**STORE, **store},
            "mount": {**dataclasses.asdict(PROGRAMS), "managed_by": managed_by},
        }
    )


def lay_playbooks_unit(server: Machine, text: str = ITS_UNIT, keys: str = ITS_KEYS) -> Path:
    unit, env = server.layout.units / PLAYBOOK_UNIT, server.root / "env-goofys"
    env.write_text(keys)
    unit.write_text("[Service]\n" + text.format(keys=env, store=server.store))
    return unit


def serving(server: Machine, who: str = MOUNT_UNIT) -> None:
    """The bucket serves, mounted by that unit; the local copy lies beside the mount point."""
    inode = server.store.stat().st_ino
    os.rename(server.store, server.backup)
    server.make_mount_point()
    server.hold(Phase.LIVE, Side.BUCKET, inode=inode)
    if who == PLAYBOOK_UNIT:
        server.layout.gave_way.touch()
    server.system.active.add(who)
    server.system.mounts.add(server.store)
    server.system.log.clear()


def coming_home(server: Machine, who: str = MOUNT_UNIT) -> None:
    """The same, and the local copy is about to become the media store."""
    serving(server, who)
    server.hold(serving=Side.NOBODY, window=(Window.RESTORE, Stage.SWAPPING))


def run(server: Machine, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that are called from now on."""
    called: list[list[str]] = []

    def note(argv: Sequence[str], **_: object) -> str:
        called.append(list(argv))
        return ""

    monkeypatch.setattr(server.system, "run", note)
    return called
