"""This module is the verb `give-way`, by which the playbook's mount takes the place of ours. Its drop-in calls it."""

from __future__ import annotations

from ..model.layout import HERE
from ..serving import playbook
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command


def give_way(command: Command) -> Answer:
    """Return once nothing of ours mounts the media store any more. Raises `Problem` where our mount serves on."""
    playbook.give_way(Server.load(HERE), Journal.load(HERE).owner)
    return {"gave_way": True}
