"""This module is the verbs `status` and `asked`: what holds on the server, and what a phase would change.

It only reads.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.beneath import is_folder
from ..host.files import SPARE_BYTES
from ..media.listing import MediaObjects
from ..media.walk import walk
from ..migration import converge, pull
from ..migration.adopt import leads_to_clean
from ..model.errors import Problem
from ..model.fingerprint import fingerprint
from ..model.layout import HERE
from ..model.phases import MOVE, Phase, Side
from ..model.version import version
from ..serving import disk, earlier_mount, playbook, probe, provider, remote_control, write_cache, writers
from ..setup import drift, preflight
from ..setup.install import this_agent
from ..state import work
from ..state.journal import Journal
from ..state.run import Server
from ..store.bucket import STORE_TROUBLE
from . import Answer
from .arguments import Command, parse
from .wiring import run_here

if TYPE_CHECKING:
    from ..model.ports import Homeserver
    from ..model.protocol import CacheSeen, Plan, Status, Sum

#: Problems that a preview names.
MOST_PROBLEMS = 20
#: Bytes a second assumed for estimates before anything was measured.
ASSUMED_BYTES = 20e6
#: Files a second assumed for estimates before anything was measured.
ASSUMED_FILES = 150.0
#: Seconds that a status key may have the agent wait for a run to end.
LONGEST_WAIT = 300.0


def status(command: Command) -> Answer:
    """Return what holds on the server; with `--phase`, also what that phase would change.

    With `--wait` it first waits that many seconds for a run to another phase.
    """
    run = run_here(command.document, say=_nobody_reads)
    if command.wait and Server.load(HERE).settings.host.stack in ("", run.settings.host.stack):

        def out_of_the_way() -> bool:
            request = work.running(HERE, run.system)
            # A move is met by the verbs that come, which follow it or end it.
            return request is None or request["target"] in (command.phase, MOVE)

        run.system.wait_until(out_of_the_way, command.wait, every=0.5)
        run = run_here(command.document, say=_nobody_reads)
    answer = observe(run.server, run.journal)
    if command.count:
        answer.update(count(run.server, run.journal, run.homeserver))
    if command.phase:
        answer["plan"] = plan(run.server, run.journal.expected(), command.phase)
        if command.check and not answer["running"]:
            problems = [str(problem) for problem in preflight.problems(preflight.read_only_checks(run))]
            answer["plan"]["problems"] = [*problems, *answer["plan"].get("problems", [])]
    return answer


def _nobody_reads(text: str) -> None:
    """Pass over progress: a status is one document."""


def asked(command: Command) -> Answer:
    """Return the status to an SSH key that may ask for it and nothing else. Raises `Problem` for all else.

    Settings that come along are not looked at: the server's own ones say which programs and files are used.
    """
    return status(question(command.question))


def question(text: str) -> Command:
    """Return the command that a status key may ask for in `text`. Raises `Problem` for any other."""
    with contextlib.suppress(ValueError, SystemExit):  # no words, or no arguments of the agent's
        words = shlex.split(text)
        told = parse(_without_settings(words[words.index("status") :]))
        wait = told.wait if told.wait <= LONGEST_WAIT else LONGEST_WAIT  # nan too, which would wait without end
        return Command("status", phase=told.phase, wait=wait, count=told.count, check=told.check)
    raise Problem("this SSH key may only ask for the status", "use the stack's own key for anything else")


def _without_settings(words: list[str]) -> list[str]:
    """Return the words without settings, which are not even read."""
    kept: list[str] = []
    words = [word for word in words if not word.startswith("--settings=")]
    for before, word in zip(["", *words], words):
        if "--settings" not in (before, word):
            kept.append(word)
    return kept


def observe(server: Server, journal: Journal) -> Status:
    """Return what the journal and the system say, side by side.

    Phase and generation are those once a window that was interrupted is finished or undone. What differs from what was
    laid is told by the settings that lie on the server.
    """
    laid, expected = Server.load(server.layout), journal.expected()
    store, running = laid.settings.store, work.running(server.layout, server.system)
    return {
        "stack": laid.settings.host.stack,
        "version": version(journal.installed.agent_sha256),
        "phase": expected.phase,
        "serving": journal.serving,
        "generation": expected.generation,
        "base": journal.base,
        "settled": journal.settled(journal.phase),
        "mounted": server.system.mounted(server.store_path),
        "mounted_by": playbook.serving_unit(laid),
        "running": running,
        "progress": work.last_told(server.layout) if running else "",
        "services": server.system.units(writers.patterns(server)),
        "local_copy": str(server.backup_path) if is_folder(server.backup_path) else None,
        "store": {
            "name": store.name,
            "bucket": store.bucket,
            "prefix": store.prefix,
            "endpoint": store.endpoint,
            "region": store.region,
            "customer_key": fingerprint(store.sse_customer_key),
        },
        "removing": is_folder(server.settings.host.removing_path),
        "last": journal.last,
        "drift": drift.differences(laid, journal, this_agent()),
        "repairs": journal.installed.repairs,
        "checked": journal.checked,
        "cache": _cache(laid),
    }


def _cache(laid: Server) -> CacheSeen | None:
    queue = remote_control.queue(laid.layout.remote_control) if write_cache.wanted(laid) else None
    if queue is None:
        return None
    return {"files": queue.files, "bytes": queue.bytes, "failing": queue.failing, "cached": queue.cached}


def count(server: Server, journal: Journal, homeserver: Homeserver) -> Status:
    """Return how many files and bytes are on both sides, and who answers: this takes its time.

    It makes one walk and one listing. A side that is not there or cannot be asked is None. Raises `Problem` for a file
    that a bucket cannot hold.
    """
    exclude, root = server.settings.copy.exclude, _media_root(server, journal)
    trouble, silent = "", homeserver.trouble()
    if journal.serving is Side.BUCKET:
        trouble = probe.why_not_serving(server.system, journal.owner, server.store_path)
    answer: Status = {
        "local": _sum(entry.size for entry in walk(root, exclude)) if is_folder(root) else None,
        "remote": None,
        "known": None,
        "trouble": trouble,
        "homeserver_answers": not silent,
        "homeserver_trouble": silent,
    }
    if server.settings.store.bucket:
        try:
            found = MediaObjects(server.bucket, exclude, _tops(server))
            answer["remote"] = _sum(item.size for item in found)
            answer["foreign"] = found.foreign.count + found.unnameable.count
        except STORE_TROUBLE as error:
            answer["remote_problem"] = str(error)
    if server.layout.manifest.exists():
        answer["known"] = _known(server)
    if journal.checked:
        answer["checked_seconds_ago"] = round(time.time() - journal.checked["time"])
    return answer


def _media_root(server: Server, journal: Journal) -> Path:
    """Return the path where the local files are."""
    return server.store_path if journal.serving is Side.LOCAL else server.backup_path


def _sum(sizes: Iterable[int]) -> Sum:
    files = total = 0
    for size in sizes:
        files, total = files + 1, total + size
    return {"files": files, "bytes": total}


def _tops(server: Server) -> list[str]:
    if not server.layout.manifest.exists():
        return []
    with server.manifest() as manifest:
        return manifest.tops()


def _in_the_way(server: Server, journal: Journal, target: Phase) -> list[Problem]:
    """Return what keeps the server from a phase, as long as nobody changes it."""
    found: list[Problem] = []
    if earlier_mount.is_due(server, journal) and target not in (Phase.CLEAN, Phase.LOCAL):
        found.append(leads_to_clean())
    if target is Phase.CLEAN and converge.is_too_soon(server, journal):
        found.append(converge.clean_too_soon(journal.phase))
    in_the_way = provider.trouble(server) if target in (Phase.LIVE, Phase.CLEAN) else None
    if in_the_way and journal.serving is Side.LOCAL:
        found.append(in_the_way)
    return found


def _known(server: Server) -> Sum:
    with server.manifest() as manifest:
        files, size = manifest.known()
    return {"files": files, "bytes": size}


def plan(server: Server, journal: Journal, target: Phase) -> Plan:
    """Return the numbers for the preview of `target`, by one walk over metadata, without a listing of the bucket."""
    root = _media_root(server, journal)
    steps = converge.plan(server, journal, target)
    if not steps:
        return {"steps": steps}
    asked, told = disk.where(server)
    free = shutil.disk_usage(asked).free
    numbers: Plan = {"steps": steps, "free_bytes": free, "disk": str(told)}
    unfit: list[Problem] = []
    # What is mounted over a local store is no local store, and root may not even enter it.
    is_there = is_folder(root) and not server.system.mounted(root)
    entries = walk(root, server.settings.copy.exclude, unfit=unfit) if is_there else iter(())
    here = _sum(entry.size for entry in entries)
    unfit += _in_the_way(server, journal, target)
    known = _known(server) if server.layout.manifest.exists() else {"files": 0, "bytes": 0}
    if journal.phase is Phase.CLEAN and free < known["bytes"] + SPARE_BYTES:
        unfit.append(pull.no_room(known["bytes"], free, told))
    if unfit:
        more = [f"{len(unfit) - MOST_PROBLEMS:,} more of this kind"] if len(unfit) > MOST_PROBLEMS else []
        numbers["problems"] = [*(str(problem) for problem in unfit[:MOST_PROBLEMS]), *more]
    copy_files = max(0, here["files"] - known["files"])
    copy_bytes = max(0, here["bytes"] - known["bytes"])
    return {
        **numbers,
        "files": here["files"],
        "bytes": here["bytes"],
        "copy_files": copy_files,
        "copy_bytes": copy_bytes,
        "seconds": round(copy_bytes / ASSUMED_BYTES + copy_files / ASSUMED_FILES),
    }
