"""What holds on the server, read only; and what a phase would change."""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Iterable
from typing import Any

from . import answers, converge, drift, handover, install, mirror, services, worker
from .context import Context
from .errors import Problem
from .preflight import homeserver_answers
from .restore import removing_path
from .s3 import StoreError
from .settings import fingerprint
from .tree import walk

#: Bytes a second and files a second assumed for estimates before anything was measured.
ASSUMED_BYTES, ASSUMED_FILES = 20e6, 150.0


def observe(context: Context) -> dict[str, Any]:
    """The journal and the system, side by side. What differs is told by the settings that lie on the server."""
    journal, store = context.journal, context.settings.host.store_path
    laid = Context.load(context.places)
    return {
        "stack": laid.settings.host.stack,
        "version": journal.facts.get("agent_version", ""),
        "phase": journal.phase,
        "serving": journal.serving,
        "generation": journal.generation,
        "base": journal.base,
        "settled": converge.settled(context, journal.phase),
        "mounted": context.system.mounted(store),
        "mounted_by": handover.serving_unit(laid),
        "running": worker.running(context.places, context.system),
        "services": context.system.units(services.patterns(context)),
        "local_copy": str(context.settings.host.backup_path) if context.settings.host.backup_path.exists() else None,
        "store": {
            "bucket": context.settings.store.bucket,
            "endpoint": context.settings.store.endpoint,
            "customer_key": fingerprint(context.settings.store.sse_customer_key),
        },
        "removing": removing_path(context).exists(),
        "last": journal.facts.get("last", {}),
        "drift": drift.differences(laid, install.this_agent()),
        "repairs": journal.facts.get("repairs"),
        "checked": journal.facts.get("checked"),
    }


def count(context: Context) -> dict[str, Any]:
    """What takes its time, and every preview need not know: files and bytes on both sides, and who answers.

    One walk and one listing. A side that is not there or cannot be asked is None.
    """
    host, journal = context.settings.host, context.journal
    root = host.store_path if journal.serving == "local" else host.backup_path
    local = _sum(entry.size for entry in walk(root, context.settings.migration.exclude)) if root.is_dir() else None
    answer: dict[str, Any] = {
        "local": local,
        "remote": None,
        "known": None,
        "trouble": answers.trouble(context, host.store_path) if journal.serving == "bucket" else "",
        "homeserver_answers": homeserver_answers(host.homeserver_url),
    }
    if context.settings.store.bucket:
        try:
            answer["remote"] = _sum(item.size for item in mirror.listed(context))
        except (StoreError, OSError, http.client.HTTPException) as error:
            answer["remote_problem"] = str(error)
    if context.places.manifest.exists():
        with context.manifest() as manifest:
            files, size = manifest.known()
        answer["known"] = {"files": files, "bytes": size}
    if journal.facts.get("checked"):
        answer["checked_seconds_ago"] = round(time.time() - journal.facts["checked"]["time"])
    return answer


def _sum(sizes: Iterable[int]) -> dict[str, int]:
    files = total = 0
    for size in sizes:
        files, total = files + 1, total + size
    return {"files": files, "bytes": total}


def plan(context: Context, target: str) -> dict[str, Any]:
    """Numbers for the preview of `target`: one walk over metadata, no listing of the bucket."""
    host = context.settings.host
    root = host.store_path if context.journal.serving == "local" else host.backup_path
    steps = converge.plan(context, target)
    numbers: dict[str, Any] = {"steps": steps, "free_bytes": shutil.disk_usage(host.store_path.parent).free}
    if not steps:
        return numbers
    try:
        entries = walk(root, context.settings.migration.exclude) if root.is_dir() else iter(())
        numbers.update(_sum(entry.size for entry in entries))
    except Problem as problem:
        return {**numbers, "problem": str(problem)}
    if context.places.manifest.exists():
        with context.manifest() as manifest:
            known, known_bytes = manifest.known()
    else:
        known, known_bytes = 0, 0
    numbers["copy_files"] = max(0, numbers["files"] - known)
    numbers["copy_bytes"] = max(0, numbers["bytes"] - known_bytes)
    numbers["seconds"] = round(numbers["copy_bytes"] / ASSUMED_BYTES + numbers["copy_files"] / ASSUMED_FILES)
    return numbers
