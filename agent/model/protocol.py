"""This module types what program, agent and the agent's own processes tell each other. It has types only."""

from __future__ import annotations

from typing import Any, TypedDict


class Event(TypedDict, total=False):
    """An `Event` is a line of progress in the file of a run: a sentence for people, or a milestone for programs."""

    text: str
    milestone: str
    #: For `EDGE_BEGUN`, the edge; for `SERVING_AGAIN`, the window.
    about: str


class Request(TypedDict):
    """A `Request` is what the unit of long work was asked for: its id, its target, and the generation that was seen."""

    id: str
    target: str
    after: str


class Sum(TypedDict):
    """A `Sum` says how many files there are and how many bytes they have together."""

    files: int
    bytes: int


class Counts(TypedDict, total=False):
    """This record has the numbers of a transition. Times are in seconds."""

    files: int
    bytes: int
    copied: int
    copied_bytes: int
    compared: int
    purged: int
    window_seconds: float
    window_files: int
    services_stopped_seconds: float
    services_held_seconds: float
    proof: dict[str, Any]


class Transition(Counts, total=False):
    """A `Transition` is a past one, for the report, with its ends `from` and `to`; `began` is in seconds since 1970.

    A move to another store has that too: its bucket, with the prefix, is `store`.
    """

    to: str
    began: int
    seconds: float


class Comparison(TypedDict):
    """A `Comparison` says when (seconds since 1970), and by which transition, both sides were compared last."""

    time: int
    by: str


class Plan(TypedDict, total=False):
    """A `Plan` says what a phase would change, for a preview; `copy_…` is what the bucket is not known to hold yet."""

    steps: list[str]
    #: The folder on whose disk the media are, and what is free there.
    disk: str
    free_bytes: int
    files: int
    bytes: int
    copy_files: int
    copy_bytes: int
    seconds: int
    #: What stands in the way of that phase.
    problems: list[str]


class StoreSeen(TypedDict):
    """This record is the store that the server was told to use last, with the customer's key as a fingerprint."""

    #: What the stack calls it.
    name: str
    bucket: str
    prefix: str
    endpoint: str
    region: str
    customer_key: str


class CacheSeen(TypedDict):
    """A `CacheSeen` says what a cache in front of the bucket owes it: files, bytes, how many failed, and its size."""

    files: int
    bytes: int
    failing: int
    cached: int


class Status(TypedDict, total=False):
    """A `Status` says what holds on the server; fields from `local` on are there only where files were counted."""

    stack: str
    #: Of the agent that is installed, see `VERSION_DIGITS`; empty where none is.
    version: str
    phase: str
    serving: str
    generation: int
    base: str
    settled: bool
    mounted: bool
    mounted_by: str
    running: Request | None
    #: The last line of progress of the run that is under way; empty without one.
    progress: str
    services: dict[str, str]
    local_copy: str | None
    store: StoreSeen
    removing: bool
    last: Counts
    drift: list[str]
    repairs: str | None
    checked: Comparison | None
    #: None without a cache, or where the mount's program does not answer.
    cache: CacheSeen | None
    plan: Plan
    local: Sum | None
    remote: Sum | None
    remote_problem: str
    #: Objects in the bucket that are no media.
    foreign: int
    known: Sum | None
    trouble: str
    homeserver_answers: bool
    homeserver_trouble: str
    checked_seconds_ago: int


class Verdict(Counts, total=False):
    """A `Verdict` has the numbers with which a run to a phase ends."""

    phase: str
    serving: str
    generation: int
    base: str
    already: bool
    runs: list[Transition]
    #: Files and bytes by the folder at the top that they are in.
    kinds: dict[str, list[int]]
    checked: Comparison | None
