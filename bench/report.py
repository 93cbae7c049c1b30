"""Tables and figures of the results: `docs/performance.md` and its pictures."""

from __future__ import annotations

from math import log10
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.world import ROOT

from .contenders import LIMIT, MANUAL, PROGRAM
from .experiments import EXPERIMENTS
from .noticed import BEFORE

HERE = Path(__file__).parent
DOCS = ROOT / "docs"


def middle(values: list[float]) -> float:
    return round(median(values), 2)


def first_copies(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each record the medians, and what the issue of speed is about: the ratios."""
    rows = []
    for record in records:
        medians = {name: middle(times) for name, times in record["seconds"].items()}
        program = medians[PROGRAM]
        fastest = min(seconds for name, seconds in medians.items() if name not in (PROGRAM, MANUAL))
        rows.append(
            {
                **record,
                "medians": medians,
                "times_faster_than_manual": round(medians[MANUAL] / program, 1),
                "percent_of_limit": round(100 * min(fastest, medians[LIMIT]) / program),
            }
        )
    return rows


def windows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **record,
            "window": middle([one["window_seconds"] for one in record["windows"]]),
            "stopped": middle([one["services_stopped_seconds"] for one in record["windows"]]),
        }
        for record in records
    ]


def growth(rows: list[dict[str, Any]], late: int = 100) -> float | None:
    """How many times longer the window of the largest store is than that of the smallest."""
    same = sorted((row["files"], row["window"]) for row in rows if row["late"] == late)
    return round(same[-1][1] / same[0][1], 2) if len(same) > 1 else None


def second_pass_ratio(copies: list[dict[str, Any]], rows: list[dict[str, Any]]) -> float | None:
    """How many times longer the manual procedure's second pass is than the window, with as many files and late ones."""
    for copy in copies:
        for row in rows:
            same = (row["files"], row["late"]) == (copy["files"], copy["second_late"])
            if same and copy["manual_second_pass"]:
                return round(middle(copy["manual_second_pass"]) / float(row["window"]), 1)
    return None


def noticed_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each store, change and way: all requests and failures, and the medians of what people waited. Pure."""
    rows = []
    for record in records:
        for way, changes in record["ways"].items():
            for what, runs in changes.items():
                stood = [run["stood_still"] for run in runs if run["stood_still"] is not None]
                rows.append(
                    {
                        "files": record["files"], "latency_ms": record["latency_ms"], "what": what, "way": way,
                        "cache": record.get("cache", False),
                        "runs": len(runs),
                        "requests": sum(run["requests"] for run in runs),
                        "failed": sum(run["failed"] for run in runs),
                        **{name: middle([run[name] for run in runs]) for name in ("longest_before", "longest", "dark")},
                        "stood_still": middle(stood) if stood else None,
                    }
                )  # fmt: skip
    return rows


def held_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each store and way: medians of how long services stood still, and of the files that came. Pure."""
    return [
        {
            "files": record["files"], "what": what, "runs": len(runs),
            "held": middle([run["held"] for run in runs]), "late": round(middle([run["late"] for run in runs])),
        }
        for record in records
        for what, runs in record["ways"].items()
    ]  # fmt: skip


def moved_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each distance: medians of the copy and of concurrent PUTs, and the most that it needed. Pure."""
    rows = []
    for record in records:
        copies = record["copies"]
        took, limit = middle([copy["seconds"] for copy in copies]), middle(record["limits"])
        rows.append(
            {
                "files": record["files"], "bytes": record["bytes"], "latency_ms": record["latency_ms"],
                "by_store": all(copy["by_store"] for copy in copies), "seconds": took, "limit": limit,
                "percent_of_limit": round(100 * limit / took),
                **{name: max(copy[name] for copy in copies) for name in ("through_server", "memory_mb", "disk_mb")},
            }
        )  # fmt: skip
    return rows


def dots(waits: list[list[float]]) -> tuple[list[tuple[float, float, bool]], float]:
    """Requests as dots of a panel: when each began, and on a scale of logarithms how long it waited; and the end. Pure.

    The panel is 600 wide, and 100 high from a hundredth of a second to a hundred seconds.
    """
    end = max(began for began, _, _ in waits)
    scale = 600 / (end + BEFORE)
    shown = [
        (round(150 + (began + BEFORE) * scale, 1), round(height(seconds), 1), bool(failed))
        for began, seconds, failed in waits
        if began >= -BEFORE
    ]
    return shown, round(end)


def height(seconds: float) -> float:
    """How far from the top of a panel a wait is drawn. Pure."""
    return 110 - 25 * (log10(min(max(seconds, 0.01), 100)) + 2)


def render(results: dict[str, Any]) -> None:
    """Write the page and its pictures from what was measured so far."""
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["middle"] = middle
    results = {**{name: [] for name in EXPERIMENTS}, **results}
    copies, shown = first_copies(results["first_copy"]), windows(results["window"])
    # Single waits are kept of the newest measurements alone.
    drawn = any("waits" in run for row in results["noticed"] for run in row["ways"]["held"]["cutover"])
    page = environment.get_template("performance.md.j2").render(
        results=results,
        copies=copies,
        windows=shown,
        growth=growth(shown),
        ratio=second_pass_ratio(copies, shown),
        program=PROGRAM,
        manual=MANUAL,
        limit=LIMIT,
        noticed=noticed_rows(results["noticed"]),
        drawn=drawn,
        held=held_rows(results["held"]),
        moved=moved_rows(results["moved"]),
    )
    (DOCS / "performance.md").write_text(page)
    bars = environment.get_template("bars.svg.j2")
    for row in copies:
        values = sorted(row["medians"].items(), key=lambda item: item[1])
        title = f"First copy of {row['files']:,} files, {row['latency_ms']} ms away (seconds)"
        (DOCS / f"first-copy-{row['files']}-{row['latency_ms']}ms.svg").write_text(
            bars.render(title=title, bars=values, longest=max(value for _, value in values), ours=PROGRAM)
        )
    if shown:
        values = [(f"{row['files']:,} files, {row['late']:,} late", row["window"]) for row in shown]
        (DOCS / "window.svg").write_text(
            bars.render(title="Window (seconds)", bars=values, longest=max(value for _, value in values), ours="")
        )
    for record in results["noticed"][:1] if drawn else []:
        panels = [(way, *dots(changes["cutover"][0]["waits"])) for way, changes in record["ways"].items()]
        picture = environment.get_template("waits.svg.j2").render(
            title=f"Each request's wait while {record['files']:,} files change over (seconds; red: failed)",
            panels=panels,
            before=round(BEFORE),
            marks=[(mark, height(float(mark))) for mark in ("0.01", "0.1", "1", "10", "100")],
        )
        (DOCS / "waits.svg").write_text(picture)
