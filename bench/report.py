"""Tables and figures of the results: `docs/performance.md` and its pictures."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.world import ROOT

from .contenders import LIMIT, MANUAL, PROGRAM
from .experiments import EXPERIMENTS

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


def render(results: dict[str, Any]) -> None:
    """Write the page and its pictures from what was measured so far."""
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["middle"] = middle
    results = {**{name: [] for name in EXPERIMENTS}, **results}
    copies, shown = first_copies(results["first_copy"]), windows(results["window"])
    page = environment.get_template("performance.md.j2").render(
        results=results,
        copies=copies,
        windows=shown,
        growth=growth(shown),
        ratio=second_pass_ratio(copies, shown),
        program=PROGRAM,
        manual=MANUAL,
        limit=LIMIT,
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
