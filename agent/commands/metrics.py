"""This module is the verb `metrics`, which tells Prometheus how the media store is. Its timer calls it."""

from __future__ import annotations

import sys

from ..model.errors import Problem
from ..model.layout import HERE
from ..serving import metrics
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command


def tell(command: Command) -> Answer:
    """Write the file of metrics. Raises `Problem` where its folder is not there, or the journal cannot be read."""
    try:
        server = Server.load(HERE)
        metrics.write(server, Journal.load(HERE))
    except Problem as problem:
        print(problem, file=sys.stderr)  # for the journal, which gets no answers of this verb
        raise
    return {"folder": server.settings.host.metrics_folder}
