"""This module compares what holds on the server and in the bucket with what the stack says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from pulumi import automation

from agent.model.protocol import Status as Seen
from agent.model.protocol import Sum
from components import settings as stack_settings
from components.host import observation, zipapp
from components.host.connection import Connection, Unreachable
from components.host.sections import asked_with
from components.settings import Settings

from .workspace import OperationError, project

#: How each phase's media store is served.
SERVED = {"prepare": "local", "mirror": "local", "live": "bucket", "clean": "bucket"}


@dataclass(frozen=True)
class Status:
    """A `Status` is what was seen, and how it differs from what the stack says, a line each."""

    stack: str
    server: str
    wanted: str
    seen: Seen
    #: What is neither as the stack says nor as the last update left it.
    drift: list[str] = field(default_factory=list)
    #: What waits for the next update, or for a run that is under way.
    waits: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Applied:
    """An `Applied` is what the stack's last update left, by its outputs; empty where there was none."""

    phase: str = ""
    bucket: str = ""
    endpoint: str = ""

    def serves_from(self, seen: Seen) -> bool:
        """Return whether the media are where the last update left them."""
        return (seen["store"]["bucket"], seen["store"]["endpoint"]) == (self.bucket, self.endpoint)


def _side(count: Sum | None) -> str:
    return f"{count['files']:,} files, {count['bytes'] / 1e6:,.1f} MB" if count else "none"


def waiting(settings: Settings, seen: Seen, applied: Applied) -> list[str]:
    """Return what the next update will change, or a run changes now, a line each. It is pure."""
    if seen["running"]:
        return [f"a run to {seen['running']['target']} is under way{_doing(seen)} -- look again when it is done"]
    found = []
    if seen["phase"] != settings.phase and seen["phase"] == applied.phase:
        found.append(_other_phase(settings, seen))
    if applied.serves_from(seen):
        found += _store(settings, seen)
    if _is_of_another_version(seen):
        agents = f"the agent on the server is {seen['version']}, the program's {zipapp.version()}"
        found += [f"{line} -- run pulumi up" for line in (agents, *seen["drift"])]
    return found


def compare(settings: Settings, seen: Seen, applied: Applied) -> list[str]:
    """Return what is neither as the stack says nor as the last update left it, a line each with its remedy.

    It is pure.
    """
    wanted, found = settings.phase, []
    if not seen["version"] and seen["phase"] == "local":
        # Nothing was ever laid here, or all was taken away, and the stack's outputs with it.
        gone = f"nothing of this stack is on the server, and the last update left it in {applied.phase}"
        return [f"{gone} -- is it another server? See 'The server is lost' in docs/runbook.md"] if applied.phase else []
    if seen["running"]:
        return _under_way(settings, seen, applied)
    if seen["phase"] not in (wanted, applied.phase):
        found.append(_other_phase(settings, seen))
    elif not seen["settled"]:
        found.append(f"phase {seen['phase']} was not finished or not proven -- run pulumi up")
    if seen["phase"] != "local":
        found += _mount(seen) + _cache(seen)
        found += [] if applied.serves_from(seen) else _store(settings, seen)
    if not _is_of_another_version(seen):  # else what is missing there is what this version lays besides
        found += [f"{line} -- run pulumi up" for line in seen["drift"]]
    found += _failed(seen)
    if not seen["homeserver_answers"]:
        found.append(
            f"the homeserver does not answer at {settings.host.homeserver_url}, asked from the server: "
            f"{seen.get('homeserver_trouble', '')} -- see its journal there (journalctl -u matrix-synapse), or correct "
            "host.homeserverUrl"
        )
    return found + _files(settings, seen)


def _is_of_another_version(seen: Seen) -> bool:
    return seen["version"] not in ("", zipapp.version())


def _under_way(settings: Settings, seen: Seen, applied: Applied) -> list[str]:
    """Return what differs though a run is under way: services may be stopped by it, and none fails by it."""
    target = seen["running"]["target"] if seen["running"] else ""
    asked_for = target in (settings.phase, applied.phase)
    other = [] if asked_for else [f"a run to {target} is under way, which the stack does not say -- look who began it"]
    return other + _failed(seen)


def _failed(seen: Seen) -> list[str]:
    failed = [unit for unit, state in seen["services"].items() if state == "failed"]
    return [f"{unit} failed -- see journalctl -u {unit} on the server" for unit in failed]


def _other_phase(settings: Settings, seen: Seen) -> str:
    return f"the stack says phase {settings.phase}, the server is in {seen['phase']} -- run pulumi up"


def _doing(seen: Seen) -> str:
    told = seen.get("progress", "")
    return f" ({told})" if told else ""


def _mount(seen: Seen) -> list[str]:
    serves_from_bucket = SERVED.get(seen["phase"]) == "bucket"
    if serves_from_bucket and seen["trouble"]:
        return [f"the bucket does not serve as the media store: {seen['trouble']} -- see journalctl on the server"]
    if seen["mounted"] and not serves_from_bucket:
        return ["something is mounted over the local media store -- look what it is (findmnt), and unmount it"]
    return []


def _cache(seen: Seen) -> list[str]:
    cache = seen.get("cache")
    if not cache or not cache["failing"]:
        return []
    return [
        f"{cache['failing']:,} uploads are on the server's disk alone and do not get into the bucket -- see "
        "journalctl -u matrix-media-store on the server (a full bucket, a refused key, a store that is away)"
    ]


def _store(settings: Settings, seen: Seen) -> list[str]:
    there = seen["store"].get("name", "")
    if not seen["store"]["bucket"] or there == settings.store_name:
        return []
    wanted = settings.store_name or stack_settings.ALONE
    return [f"the stack says that {wanted} serves, the media are in {there or stack_settings.ALONE} -- run pulumi up"]


def _files(settings: Settings, seen: Seen) -> list[str]:
    """Return a line where the bucket lacks suspiciously many files, or cannot be listed.

    Counts never match to the file, since people upload and delete.
    """
    if "remote_problem" in seen:
        return [f"the bucket cannot be listed: {seen['remote_problem']} -- check the store's key and endpoint"]
    known, remote = seen.get("known"), seen.get("remote")
    if not known or not remote or seen["phase"] not in ("mirror", "live", "clean"):
        return []
    gone = known["files"] - remote["files"]
    if gone > known["files"] * settings.migration.deletion_limit_percent / 100:
        return [
            f"the bucket has {remote['files']:,} files, and {known['files']:,} were compared equal -- look who removed "
            "them before anything else"
        ]
    return []


def _cache_lines(seen: Seen) -> list[str]:
    cache = seen.get("cache")
    if not cache:
        return []
    owed = (
        f"{cache['files']:,} uploads, {cache['bytes'] / 1e6:,.1f} MB, wait to go up"
        if cache["files"]
        else "owes nothing"
    )
    return [f"  cache          {cache['cached'] / 1e6:,.1f} MB; {owed}"]


def _held(status: Status) -> list[str]:
    """Return what holds, in lines for people. It is pure."""
    seen = status.seen
    ago, last = seen.get("checked_seconds_ago"), seen["checked"]
    checked = f"{ago / 3600:,.1f} hours ago, by {last['by']}" if ago is not None and last else "never"
    services = ", ".join(f"{unit} {state}" for unit, state in seen["services"].items()) or "none"
    mounted = f" (mounted by {seen['mounted_by']})" if seen["mounted"] else ""
    called = f" (store {seen['store']['name']})" if seen["store"].get("name") else ""
    said = [
        f"stack {status.stack}, server {status.server}",
        f"  phase          {seen['phase']} (the stack says {status.wanted})",
        f"  served from    {seen['serving']}{mounted}",
        f"  services       {services}",
        f"  agent          {seen['version'] or 'not installed'}",
    ]
    if "local" in seen:  # files were counted
        said += [
            f"  local files    {_side(seen['local'])}",
            f"  bucket         {seen['store']['bucket'] or '-'}{called}: {_side(seen.get('remote'))}",
            f"  compared       {checked}",
        ]
    said += _cache_lines(seen)
    if seen["local_copy"]:
        said.append(f"  local copy     {seen['local_copy']}")
    return said


def lines(status: Status) -> list[str]:
    """Return the status in lines for people. It is pure."""
    said, seen = _held(status), status.seen
    if not seen["version"] and seen["phase"] == "local" and not status.drift:
        return [*said, "  nothing of this stack is on the server yet: run `pulumi up` to begin"]
    told = [f"  DRIFT: {line}" for line in status.drift] + [f"  WAITS: {line}" for line in status.waits]
    return said + (told or ["  as the stack says"])


def watched(status: Status, now: str) -> list[str]:
    """Return what holds without counted files, in lines for people, with what the server does now. It is pure."""
    seen = status.seen
    run = f"to {seen['running']['target']}: {seen.get('progress', '')}" if seen["running"] else "none is under way"
    return [*_held(status), f"  run            {run}", f"  seen           {now}; Ctrl-C ends this"]


def document(status: Status) -> dict[str, Any]:
    """Return the status as a document for machines."""
    return asdict(status)


def ask(stack: automation.Stack) -> Status:
    """Read configuration, server and bucket, and return what holds. Raises OperationError where that cannot be done."""
    settings = _settings(stack)
    seen = _seen(settings, stack.name, "--count")
    applied = _applied(stack)
    differs = compare(settings, seen, applied), waiting(settings, seen, applied)
    return Status(stack.name, settings.server.host, settings.phase, seen, *differs)


def watch(stack: automation.Stack, every: float, show: Callable[[list[str]], None]) -> NoReturn:
    """Show what holds and what the server does, every so many seconds, until somebody interrupts it.

    Nothing is counted, and the bucket is not asked. A server that does not answer for once is told of and asked again.
    """
    settings = _settings(stack)
    while True:
        try:
            now = Status(stack.name, settings.server.host, settings.phase, _seen(settings, stack.name))
            found = watched(now, f"{datetime.now():%H:%M:%S}")
        except OperationError as error:
            found = [str(error)]
        show(found)
        time.sleep(every)


def _applied(stack: automation.Stack) -> Applied:
    outputs = stack.outputs()
    return Applied(*(str(outputs[name].value) if name in outputs else "" for name in ("phase", "bucket", "endpoint")))


def _settings(stack: automation.Stack) -> Settings:
    config = stack.get_all_config()
    try:
        return stack_settings.read(
            project(), {key: entry.value for key, entry in config.items()}, {k for k, v in config.items() if v.secret}
        )
    except stack_settings.ConfigurationError as error:
        raise OperationError(f"the stack's configuration is not right: {error}") from None


def _seen(settings: Settings, stack: str, *words: str) -> Seen:
    try:
        return observation.ask_status(
            Connection.of(settings.server),
            *words,
            sections=asked_with(settings, stack),
            seconds=observation.ASK_SECONDS,
        )
    except Unreachable as error:
        raise OperationError(f"the server {settings.server.host} cannot be reached: {error}") from None
    except observation.ServerError as error:
        raise OperationError(f"the server {settings.server.host} cannot say what holds there: {error}") from None
