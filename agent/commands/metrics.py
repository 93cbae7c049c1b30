"""This module is the verb `metrics`, which tells Prometheus how the media store is. Its timer calls it."""

from __future__ import annotations

from ..model.layout import HERE
from ..serving import metrics
from ..state.journal import Journal
from ..state.run import Server
from . import Answer
from .arguments import Command


def tell(command: Command) -> Answer:
    """Write the file of metrics. Raises `Problem` where its folder is not there, or the journal cannot be read."""
    server = Server.load(HERE)
    metrics.write(server, Journal.load(HERE))
    return {"folder": server.settings.host.metrics_folder}
