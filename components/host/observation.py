"""This module asks the server what holds there, before anything is declared. It only reads."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

from agent.model.fingerprint import fingerprint
from agent.model.protocol import Plan, Status, StoreSeen

from ..settings import AnyStore, AwsStore, B2Store, Settings, place_of
from . import zipapp
from .command import agent_text, last_json
from .connection import Connection
from .sections import Section

#: A walk over the metadata of a million files on a cold disk takes minutes.
ASK_SECONDS = 600
#: How long `pulumi up` waits for a run to another phase that a killed one left behind.
WAIT_SECONDS = 300


class ServerError(Exception):
    """This error says that the server answered, and could not say what holds there."""


class WrongStack(Exception):
    """This error says that another stack holds the server to its phase."""


class WrongStore(Exception):
    """This error says that the media lie in another store than the stack says."""


def _mark() -> str:
    """Return what tells the run of a program apart from all others, so that its command is a new one."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class StartFrom:
    """A `StartFrom` is what the commands say they start from: the same as before where there is nothing to do.

    :param after: the generation seen, for the media store's phase.
    :param repairs: marks the last repair of what the stack laid on the server.
    """

    after: str
    repairs: str


@dataclass(frozen=True)
class Observation:
    """An `Observation` is what the server's journal says: its phase, and from what the last run there started."""

    phase: str
    generation: int
    base: str
    settled: bool = True
    #: The phase that a run is on its way to now, and from what it started.
    running: str | None = None
    running_after: str = ""
    #: The last repair's mark; None where nothing was laid on the server yet.
    repairs: str | None = None
    #: What is not as it was laid, a line each.
    drift: Sequence[str] = ()
    #: The store that the server was told to use last: bucket, endpoint, fingerprint of the customer's key.
    store: StoreSeen | None = None
    plan: Plan = field(default_factory=lambda: Plan())
    #: The stack that the server was told of last.
    stack: str = ""

    def check_stack(self, stack: str, adopt: bool) -> None:
        """Raise WrongStack where two stacks would pull the server to and fro."""
        if self.stack not in ("", stack) and self.phase != "local" and not adopt:
            raise WrongStack(
                f"another stack, {self.stack}, holds this server in phase {self.phase} -- use that one, or destroy it "
                "first; only if it is gone or was renamed, set store.adopt to true for one update"
            )

    def moves_to(self, name: str) -> bool:
        """Return whether the media lie in another store of the stack than the one called so, and are to move there."""
        serves = self.phase in ("live", "clean")
        return bool(serves and self.store and self.store["bucket"] and self.store.get("name", "") != name)

    def check_names(self, name: str, names: Collection[str]) -> None:
        """Raise WrongStore where the media cannot move to the store called `name`; `names` are all of the stack's."""
        known = self.store.get("name", "") if self.store and self.store["bucket"] else name
        if known == name or self.phase not in ("mirror", "live", "clean"):
            return
        if known not in names:
            raise WrongStore(
                f"the media lie in the store {place_of(known)}, which the stack has no more -- put it back; it can be "
                "taken out once the media are in another store"
            )
        if self.phase == "mirror":
            raise WrongStore(
                "serve changed in phase mirror, and what was copied is in the other store -- set phase to prepare "
                "first, and to mirror then; or set serve back, and move once the server is live"
            )

    def check_store(self, wanted: AnyStore, customer_key: str, name: str = "") -> None:
        """Raise WrongStore where the media lie in another store, or under another key, than the stack says.

        The agent would refuse too, but only after the resources of the store that serves were changed. At AWS each
        resource has its region, so that another region replaces them all, whatever the phase.
        """
        if not self.store or not self.store["bucket"] or self.store.get("name", "") != name:
            return  # another store of the stack has another name, see `check_names`
        bucket, place = self.store["bucket"], place_of(name)
        changes = [
            (f"{place}.bucket", bucket, wanted.bucket),
            (f"{place}.prefix", self.store.get("prefix", ""), wanted.prefix),
        ]
        if not isinstance(wanted, B2Store):  # at B2 both follow from the account, and are known after an update only
            region = "aws:region" if isinstance(wanted, AwsStore) else f"{place}.region"
            changes += [
                (region, self.store["region"], wanted.region),
                (f"{place}.endpoint", self.store["endpoint"], wanted.endpoint_used),
            ]
        changed = [(name, old, new) for name, old, new in changes if old != new]
        relies = self.phase in ("mirror", "live", "clean")
        if changed and changed[0][0] == "aws:region" and self.phase != "local":
            raise WrongStore(
                f"aws:region changed from {changed[0][1]} to {changed[0][2]}, and bucket {bucket} stays where it was "
                "made: all of its settings would be deleted -- set it back; to go to another region, set phase to "
                "prepare first, and then store.bucket to another name together with aws:region"
            )
        if changed and relies:
            name, old, new = changed[0]
            raise WrongStore(
                f"{name} changed from {old or 'nothing'} to {new or 'nothing'} in phase {self.phase} -- set it back "
                "and phase to prepare: the media come back, and can then go to the other bucket"
            )
        if relies and self.store["customer_key"] != fingerprint(customer_key):
            raise WrongStore(
                f"{place}.sseCustomerKey changed in phase {self.phase}, and nothing could be read without the old -- "
                "set the old one back, and phase to prepare: the media come home, and can be copied with the new one "
                "then"
            )
        if changed and wanted.on_destroy == "delete":
            raise WrongStore(
                f"the store changed from bucket {bucket}, which would be deleted with what is in it, uncompared -- set "
                "the store back and store.onDestroy to retain, run pulumi up, and change it then"
            )

    def start_from(self, phase: str) -> StartFrom:
        """Return what the commands are to start from, for that phase.

        So an unchanged stack has unchanged commands, and a changed server or wish has new ones. A server that was
        rebuilt, or set back to an earlier image, may show a generation that the stack knows already: the mark makes it
        a new command all the same.
        """
        if self.running == phase:
            after = self.running_after
        elif self.phase == phase and self.settled:
            after = self.base
        else:
            after = f"{self.generation}.{_mark()}"
        broken = self.repairs is None or self.drift
        return StartFrom(after, _mark() if broken else str(self.repairs))


#: How a line of the agent's output begins that says why a verb failed.
FAILED = "error: "


def ask_status(
    connection: Connection,
    *options: str,
    sections: Mapping[str, Section],
    seconds: float,
    secret: Mapping[str, Section] = MappingProxyType({}),
) -> Status:
    """Return the status from an agent that comes along; `seconds` is how long that may take.

    `secret` are further sections, which go by standard input. Raises Unreachable or ServerError.
    """
    settings = json.dumps(sections, sort_keys=True)
    command = agent_text(connection.user, "status", *options, "--settings", settings, piped=True)
    output = connection.ask(command, json.dumps({"agent": zipapp.encoded(), **secret}), seconds)
    answer = last_json(output)
    if "phase" not in answer:
        told = output.strip().splitlines()
        problems = [line.removeprefix(FAILED) for line in told if line.startswith(FAILED)] or told[-3:] or ["no answer"]
        raise ServerError("; ".join(problems))
    return cast(Status, answer)


def observe(
    connection: Connection, *, phase: str, sections: Mapping[str, Section], store: Section, preview: bool
) -> Observation:
    """Return what holds on the server, and what `phase` would change there. Raises Unreachable or ServerError.

    A `preview` looks for what would stand in the way too, with what is known of the `store`; an update finds it itself,
    and first waits up to WAIT_SECONDS for a run to another phase.
    """
    seconds = 0 if preview else WAIT_SECONDS
    answer = ask_status(
        connection, "--phase", phase, "--wait", str(seconds), *(["--check"] if preview else []),
        sections=sections, seconds=ASK_SECONDS + seconds, secret={"store": store} if store and preview else {},
    )  # fmt: skip
    running = answer.get("running")
    return Observation(
        phase=answer["phase"],
        generation=answer["generation"],
        base=str(answer["base"]),
        settled=answer["settled"],
        running=running["target"] if running else None,
        running_after=running.get("after", "") if running else "",
        repairs=answer["repairs"],
        drift=answer["drift"],
        stack=answer["stack"],
        store=answer["store"],
        plan=answer.get("plan", {}),
    )


def move_lines(observed: Observation, settings: Settings) -> list[str]:
    """Return what a move to another store would do, in words for a preview; nothing where none is asked for."""
    if not observed.moves_to(settings.store_name) or not observed.store:
        return []
    before, after = observed.store, settings.store
    return [
        f"the media move from bucket {before['bucket']} at {before['endpoint']} to bucket {after.bucket}: copied and "
        "compared while services run, then the new bucket is mounted in the place of the other one; services are held "
        "for less than a second for it where they can be, else stopped; the earlier store stays in the stack, and back "
        "is the same move"
    ]


def plan_lines(observed: Observation, phase: str) -> list[str]:
    """Return the plan in words, for a preview."""
    if observed.running:
        return [f"a run to {observed.running} is under way on the server; `pulumi up` waits for it"]
    plan = observed.plan
    lines = [f"not as it was laid on the server, and to be repaired: {line}" for line in observed.drift]
    problems = [f"  but: {problem}" for problem in plan.get("problems", [])]
    if not plan.get("steps"):
        return [*lines, *problems]
    lines += [f"the server is in phase {observed.phase}; to reach {phase}:"]
    lines += [f"  {number}. {step}" for number, step in enumerate(plan["steps"], 1)]
    lines += problems
    if "files" in plan:
        lines += _numbers(observed, plan, phase)
    return lines


def _numbers(observed: Observation, plan: Plan, phase: str) -> list[str]:
    """Return how much lies on the server, what is still to be copied, and what a phase does to its disk."""
    serves = observed.phase in ("live", "clean")
    lines = [f"  local {'copy' if serves else 'store'}: {plan['files']:,} files, {plan['bytes'] / 1e6:,.1f} MB"]
    if not serves:
        lines[0] += (
            f"; not yet known in the bucket: {plan['copy_files']:,} files, {plan['copy_bytes'] / 1e6:,.1f} MB "
            f"(about {plan['seconds']} s)"
        )
    lines[0] += f"; free at {plan['disk']}: {plan['free_bytes'] / 1e6:,.0f} MB"
    if phase == "clean":
        lines.append(f"  clean frees {plan['bytes'] / 1e6:,.1f} MB there")
    return lines
