"""This module is the verb `answers`: whether a mount answers. The mount's units call it."""

from __future__ import annotations

import os
from pathlib import Path

from ..model.errors import Problem
from ..model.layout import HERE, MOUNT_UNIT
from ..serving import mount_point, playbook, probe, remote_control, write_cache
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command


def answers(command: Command) -> Answer:
    """Return once the mount at the command's path answers; it is brought there first if it is the media store's.

    Raises `Problem` where it does not in time.
    """
    process = os.environ.get("MAINPID")  # systemd's, where this is a unit's ExecStartPost
    ended = (lambda: not Path(f"/proc/{process}").exists()) if process else (lambda: False)
    server = Server.load(HERE)
    journal, unit = Journal.load(HERE), playbook.serving_unit(server)
    owner = journal.owner
    if command.where == server.store_path and (journal.mounts_beside() or HERE.held.exists()):
        mount_point.wait_for(server.system, command.where, ended)
    elif command.where == server.store_path and unit == MOUNT_UNIT:
        mount_point.attach(server.system, HERE.mounting, command.where, ended)
    probe.check_answers(server.system, owner, command.where, unit, ended)
    if (
        command.where == server.store_path
        and write_cache.wanted(server)
        and remote_control.lacks_cache(HERE.remote_control)
    ):
        raise Problem("rclone mounted the bucket without its cache", "see the lines before this one")
    return {"answers": str(command.where)}
