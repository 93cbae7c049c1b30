"""The playbook's own mount of the bucket on a pretended server."""

from __future__ import annotations

import os
from pathlib import Path

from agent import mount
from agent.context import Context
from agent.journal import Step
from agent.places import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.settings import parse

from .conftest import Server

STORE = {"endpoint": "https://store.test", "region": "r", "bucket": "b", "access_key_id": "k", "secret_access_key": "s"}
#: As the playbook writes it, but for the container.
ITS_KEYS = "AWS_ACCESS_KEY=k\nAWS_SECRET_KEY=s\n"
ITS_UNIT = "EnvironmentFile={keys}\nExecStart=goofys -f --endpoint=https://store.test --region r b {store}\n"
DOCKER = "ExecStart=docker run --env-file={keys} --mount type=bind,src={store},dst=/s3 i \\\n -c 'goofys -f %s /s3'"
AWS = {"endpoint": "https://s3.eu-west-1.amazonaws.com", "region": "eu-west-1"}


def tell(server: Server, managed_by: str = "playbook", **store: str) -> None:
    server.settings = parse(
        {
            "host": {"media_store": str(server.store)},
            "store": {**STORE, **store},
            "mount": {"managed_by": managed_by},
        }
    )


def lay_playbooks_unit(server: Server, text: str = ITS_UNIT, keys: str = ITS_KEYS) -> Path:
    unit, env = server.places.units / PLAYBOOK_UNIT, server.root / "env-goofys"
    env.write_text(keys)
    unit.write_text("[Service]\n" + text.format(keys=env, store=server.store))
    return unit


def serving(server: Server, who: str = MOUNT_UNIT) -> Context:
    """The bucket serves, mounted by that unit; the local copy lies beside the mount point."""
    inode = server.store.stat().st_ino
    os.rename(server.store, server.backup)
    mount.make_mount_point(server.store)
    context = server.context()
    context.journal.serving, context.journal.phase = "bucket", "live"
    context.journal.facts["store_inode"] = inode
    context.save()
    if who == PLAYBOOK_UNIT:
        server.places.gave_way.touch()
    server.system.active.add(who)
    server.system.mounts.add(server.store)
    server.system.log.clear()
    return context


def coming_home(context: Context) -> Context:
    context.journal.serving, context.journal.step = "none", Step("restore", "swapping", [])
    context.save()
    return context


def run(server: Server, monkeypatch) -> list[list[str]]:
    called: list[list[str]] = []
    monkeypatch.setattr(server.system, "run", lambda argv, **_: called.append(argv) or "")
    return called
