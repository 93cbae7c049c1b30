"""This package makes the page that each migration leaves: what was done, how long it took, what it holds and costs."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.model.phases import Phase

#: The phases, from the first to the last.
ORDER = list(Phase)
#: Folders at the top of a media store, as Synapse names them.
KINDS = {
    "local_content": "uploads by this server's users",
    "local_thumbnails": "thumbnails of them",
    "remote_content": "media of other servers",
    "remote_thumbnail": "thumbnails of them",
}
#: List prices, US dollars for each GB and month of storage, as docs/scale.md has them.
PRICES = {"AWS S3 Standard (us-east-1)": 0.023, "AWS S3 Standard-IA (us-east-1)": 0.0125, "Backblaze B2": 0.006}
#: Share of the bar that a transition has at least, in percent: one of seconds must be seen beside one of hours.
LEAST_WIDTH = 3.0


@dataclass(frozen=True)
class Bar:
    """A `Bar` is a transition in the page's bar: its share in percent, and whether it went back."""

    run: Mapping[str, Any]
    width: float
    back: bool


@dataclass(frozen=True)
class Wait:
    """A `Wait` is for how long services were stopped, or stood still, in a transition; its width is in percent."""

    run: Mapping[str, Any]
    seconds: float
    stopped: bool
    width: float


def file_name(verdict: Mapping[str, Any]) -> str:
    """Return the page's name, made of the last transition; it is empty where there is none.

    So an update that does nothing leaves no other page.
    """
    runs = verdict.get("runs", [])
    if not runs:
        return ""
    ended = datetime.datetime.fromtimestamp(runs[-1]["began"] + runs[-1]["seconds"], datetime.UTC)
    return f"{ended:%Y-%m-%d-%H%M%S}-{runs[-1]['to']}.html"


def leave(root: Path, stack: str, server: str, bucket: str, verdict: Mapping[str, Any]) -> Path | None:
    """Write the page under `root`, in a folder of the stack; return its path, or None where there is nothing to tell.

    Raises OSError where it cannot be written.
    """
    name = file_name(verdict)
    if not name:
        return None
    page = root / stack / name
    if not page.exists():
        page.parent.mkdir(parents=True, exist_ok=True)
        new = page.with_suffix(".new")
        new.write_text(render(stack, server, bucket, verdict), "utf-8")
        os.replace(new, page)
    return page


def render(stack: str, server: str, bucket: str, verdict: Mapping[str, Any]) -> str:
    """Return the page as HTML. It is pure."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(duration=duration, size=size, moment=moment)
    kinds = sorted(verdict.get("kinds", {}).items(), key=lambda kind: -kind[1][1])
    stored = sum(numbers[1] for _, numbers in kinds)
    return environment.get_template("page.html.j2").render(
        stack=stack, server=server, bucket=bucket, verdict=verdict, bars=bars(verdict["runs"]), kinds=kinds,
        waits=waits(verdict["runs"]),
        names=KINDS, files=sum(numbers[0] for _, numbers in kinds), stored=stored,
        costs={name: stored / 1e9 * price for name, price in PRICES.items()},
    )  # fmt: skip


def bars(runs: list[Mapping[str, Any]]) -> list[Bar]:
    """Return the bars, with widths in proportion to the time, none below LEAST_WIDTH. It is pure.

    Together they may pass 100 percent.
    """
    total = sum(run["seconds"] for run in runs) or 1
    return [
        Bar(run, max(100 * run["seconds"] / total, LEAST_WIDTH), ORDER.index(run["to"]) < ORDER.index(run["from"]))
        for run in runs
    ]


def waits(runs: list[Mapping[str, Any]]) -> list[Wait]:
    """Return the transitions in which people waited, in their order; the longest has the whole width. It is pure."""
    found = []
    for run in runs:
        for key, stopped in (("services_stopped_seconds", True), ("services_held_seconds", False)):
            if key in run:
                found.append((run, float(run[key]), stopped))
                break
    longest = max((seconds for _, seconds, _ in found), default=0) or 1
    return [
        Wait(run, seconds, stopped, max(100 * seconds / longest, LEAST_WIDTH / 3)) for run, seconds, stopped in found
    ]


def duration(seconds: float) -> str:
    """Return a time for people: 0.07 s, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 0.1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Return a number of bytes for people, in powers of a thousand, as stores bill them."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as a date and time in UTC."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"
