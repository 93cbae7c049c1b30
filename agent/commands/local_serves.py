"""This module is the verb `local-serves`, which keeps a job off the bucket. The job's drop-in calls it."""

from __future__ import annotations

from ..model.layout import HERE
from ..model.settings import parse
from ..serving import provider
from ..state.journal import Journal
from ..state.run import known_settings
from . import Answer
from .arguments import Command


def local_serves(command: Command) -> Answer:
    """Return who serves. Raises `Problem` unless that is the local store, and the job may remove files of it."""
    journal = Journal.load(HERE)
    provider.check_may_run(journal, parse(known_settings(HERE)).host.storage_provider)
    return {"serving": journal.serving}
