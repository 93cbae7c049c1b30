"""This module tells Prometheus how the media store is, by a file for the textfile collector of node_exporter.

A timer has it written once a minute, in every phase; the bucket is asked for nothing. The file's path is noted before
it is written, so it is found again whatever the settings say then. If the power fails, it is the old one or the new
one. https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..host.beneath import Folder, is_folder
from ..host.files import write_atomic
from ..host.mounts import topmost
from ..model.errors import Problem
from ..model.layout import METRICS_TIMER, METRICS_UNIT, Layout
from ..model.phases import Phase, Side
from ..model.version import version
from ..state import work
from ..state.journal import Journal
from ..state.run import Server
from . import probe, remote_control, write_cache

FILE = "matrix_media_store.prom"
#: Where the file is written before it takes its name; the collector reads none that ends so.
_NEW = f"{FILE}.new"
PREFIX = "matrix_media_store_"
#: Seconds for which the mount's program may take to say that it is there.
ANSWER_SECONDS = 8.0
#: Where the kernel lists FUSE mounts: https://docs.kernel.org/filesystems/fuse.html#control-filesystem
CONNECTIONS = Path("/sys/fs/fuse/connections")

#: Each metric, all gauges, with what it says.
METRICS = {
    "info": "Always 1; labels name the stack that holds the server, the agent, and the store if it has a name",
    "phase": "1 for the phase that the server is in, 0 for the others",
    "settled": "1 where the phase that it is in was proven, and no window is open",
    "bucket_serves": "1 where the bucket serves as the media store, 0 where the local disk does; absent in a window",
    "window_open": "1 while one side takes the place of the other",
    "run_under_way": "1 while a run of the agent changes the server",
    "mount_healthy": "1 where the mount's program answers; absent while the local disk serves",
    "mount_requests_waiting": "Requests that the kernel has sent to the mount and that are not answered yet",
    "compared_timestamp_seconds": "When both sides were compared last, in seconds since 1970",
    "files": "Media files that the last transition counted",
    "bytes": "Bytes of these files",
    "last_held_seconds": "For how long services stood still in the last window that held them",
    "last_stopped_seconds": "For how long services were stopped in the last window that stopped them",
    "cache_bytes": "Bytes in the cache in front of the bucket",
    "cache_owed_files": "Uploads that are on the server's disk alone, and wait to go up",
    "cache_owed_bytes": "Bytes of these uploads",
    "cache_failing_files": "Those of them that failed to go up several times",
    "written_timestamp_seconds": "When this file was written, in seconds since 1970",
}  # fmt: skip


class Sample(NamedTuple):
    """A `Sample` is a value of one of `METRICS`, with labels."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


def wanted(server: Server) -> bool:
    """Return whether the stack wants metrics of this server."""
    return bool(server.settings.host.metrics_folder)


def check(server: Server) -> None:
    """Raise `Problem` where the folder for the metrics is not there, and nothing was ever written in it.

    One that is gone since keeps nothing else from happening: the timer's unit fails until it is back.
    """
    folder = _folder(server)
    if folder and folder != _noted(server.layout):
        _must_be_there(folder)


def _folder(server: Server) -> Path | None:
    return Path(server.settings.host.metrics_folder) if wanted(server) else None


def _must_be_there(folder: Path) -> None:
    if not is_folder(folder):
        raise Problem(
            f"host.metricsFolder is {folder}, and no such folder is on the server",
            "make it, and tell node_exporter of it (--collector.textfile.directory), or leave the setting out",
        )


def observe(server: Server, journal: Journal) -> list[Sample]:
    """Return what holds on the server; it takes bounded time, whatever hangs."""
    expected, now = journal.expected(), journal.phase
    from_bucket = journal.serving is Side.BUCKET
    info = {
        "stack": server.settings.host.stack,
        "agent": version(journal.installed.agent_sha256),
        "store": server.settings.store.name,
    }
    found = [
        Sample("info", 1, info),
        *(Sample("phase", expected.phase is phase, {"phase": phase}) for phase in Phase),
        Sample("settled", journal.settled(now)),
        Sample("window_open", journal.window is not None),
        Sample("run_under_way", work.running(server.layout, server.system) is not None),
    ]
    if not journal.window:  # else one side takes the place of the other
        found.append(Sample("bucket_serves", from_bucket))
    if from_bucket and not journal.window:
        trouble = probe.why_dead(server.system, journal.owner, server.store_path, ANSWER_SECONDS)
        found.append(Sample("mount_healthy", not trouble))
    if from_bucket and (waiting := _waiting(server.store_path)) is not None:
        found.append(Sample("mount_requests_waiting", waiting))
    if journal.checked:
        found.append(Sample("compared_timestamp_seconds", journal.checked["time"]))
    return [*found, *_last(journal), *_cache(server), Sample("written_timestamp_seconds", round(time.time()))]


def _waiting(path: Path) -> int | None:
    """Return how many requests wait for the mount at `path`; None where the kernel does not say."""
    mount = topmost(path)
    with contextlib.suppress(OSError, ValueError):
        if mount:
            return int((CONNECTIONS / mount.device.partition(":")[2] / "waiting").read_text())
    return None


def _last(journal: Journal) -> list[Sample]:
    """Return the numbers of the newest transitions that have them."""
    named = {
        "files": "files",
        "bytes": "bytes",
        "last_held_seconds": "services_held_seconds",
        "last_stopped_seconds": "services_stopped_seconds",
    }
    newest = [journal.last, *reversed(journal.history)]
    found = []
    for name, key in named.items():
        value = next((counts[key] for counts in newest if counts.get(key) is not None), None)
        if value is not None:
            found.append(Sample(name, value))
    return found


def _cache(server: Server) -> list[Sample]:
    queue = remote_control.queue(server.layout.remote_control) if write_cache.wanted(server) else None
    if queue is None:
        return []
    return [
        Sample("cache_bytes", queue.cached),
        Sample("cache_owed_files", queue.files),
        Sample("cache_owed_bytes", queue.bytes),
        Sample("cache_failing_files", queue.failing),
    ]


def text(samples: Sequence[Sample]) -> str:
    """Return the samples as Prometheus reads them. It is pure.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    lines = []
    for name, help_text in METRICS.items():
        of_name = [sample for sample in samples if sample.name == name]
        if of_name:
            lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} gauge"]
            lines += [f"{PREFIX}{name}{_labels(sample.labels)} {float(sample.value):.15g}" for sample in of_name]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""


def write(server: Server, journal: Journal) -> None:
    """Write the file where it is wanted, and take away one that lies elsewhere.

    Raises `Problem` where the folder is not there.
    """
    folder = _folder(server)
    if not folder:
        remove(server.layout)
        return
    _must_be_there(folder)
    if _noted(server.layout) != folder:
        remove(server.layout)
        write_atomic(server.layout.metrics, str(folder).encode(), 0o600)
    with Folder.at(folder) as place:
        with contextlib.suppress(FileNotFoundError):
            place.remove_file(_NEW)
        place.write(_NEW, text(observe(server, journal)).encode(), 0o644)  # node_exporter runs as a user of its own
        place.move(_NEW, place, FILE)


def remove(layout: Layout) -> None:
    """Take away the file that was written, wherever it was."""
    folder = _noted(layout)
    if folder is None:
        return
    with contextlib.suppress(OSError), Folder.at(folder) as place:  # somebody took the folder away
        for name in (FILE, _NEW):
            with contextlib.suppress(FileNotFoundError):
                place.remove_file(name)
    layout.metrics.unlink()


def _noted(layout: Layout) -> Path | None:
    try:
        return Path(layout.metrics.read_text())
    except FileNotFoundError:
        return None


def settle(server: Server) -> None:
    """Have the timer run, or take it away with what it wrote, as the stack wants; its units are laid before."""
    if wanted(server):
        server.system.systemctl("enable", "--now", "--quiet", METRICS_TIMER)
    elif (server.layout.units / METRICS_TIMER).exists() or server.layout.metrics.exists():
        server.system.systemctl("disable", "--now", "--quiet", METRICS_TIMER, check=False)
        server.system.systemctl("stop", METRICS_UNIT, check=False)  # one that runs would write once more
        for unit in (METRICS_TIMER, METRICS_UNIT):
            (server.layout.units / unit).unlink(missing_ok=True)
        server.system.systemctl("daemon-reload")
        remove(server.layout)
