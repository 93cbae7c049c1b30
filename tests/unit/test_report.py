"""The page that a migration leaves."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import pytest

from components import report

BEGAN = 1_790_000_000  # 2026-09-21 14:13:20 UTC
VERDICT: dict[str, Any] = {
    "phase": "live", "serving": "bucket", "window_seconds": 0.4, "services_stopped_seconds": 2.1,
    "checked": {"time": BEGAN, "by": "mirror"}, "proof": {"sample_files": 25, "probe": True},
    "kinds": {"local_content": [10, 9_000_000_000], "local_thumbnails": [50, 1_000_000_000]},
    "runs": [
        {"from": "local", "to": "prepare", "began": BEGAN - 9000, "seconds": 3.0},
        {"from": "prepare", "to": "mirror", "began": BEGAN - 8000, "seconds": 7200.0, "copied": 1_440_000,
         "copied_bytes": 72_000_000_000},
        {"from": "mirror", "to": "live", "began": BEGAN, "seconds": 20.0, "window_seconds": 0.4,
         "services_stopped_seconds": 2.1, "copied": 0, "copied_bytes": 0},
    ],
}  # fmt: skip


class Words(html.parser.HTMLParser):
    """Keeps what stands between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text(page: str) -> str:
    """What a person reads, and nothing that a browser would fetch."""
    parser = Words()
    parser.feed(page.partition("</style>")[2])
    return " ".join(" ".join(parser.words).split())


def test_the_page_says_what_was_done_how_fast_and_what_it_costs() -> None:
    page = report.render("prod", "matrix.example.com", "media", VERDICT)
    said = text(page)
    for words in (
        "Media store of matrix.example.com", "stack prod, bucket media", "60 files equal", "10.0 GB",
        "0.4 s window", "2 h 0 min", "1,440,000 files, 72.0 GB", "72.0 GB 200 files/s, 10.0 MB/s",
        "2026-09-21 14:13:20 UTC: all equal", "25 old files",
        "AWS S3 Standard (us-east-1) 0.23", "Backblaze B2 0.06",
    ):  # fmt: skip
        assert words in said, (words, said)
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|@import|url\(", page), "it is one file"


def test_names_are_data_in_the_page() -> None:
    assert "<script>" not in report.render("<script>", "<script>", "b", VERDICT)


def test_going_back_has_another_colour_and_short_transitions_are_seen() -> None:
    runs = [*VERDICT["runs"], {"from": "live", "to": "mirror", "began": BEGAN, "seconds": 5.0}]
    bars = report.bars(runs)
    assert [bar.back for bar in bars] == [False, False, False, True]
    assert min(bar.width for bar in bars) >= report.LEAST_WIDTH and bars[1].width > 90


def test_how_long_people_waited_is_drawn_for_each_window_the_way_home_and_a_move_among_them() -> None:
    """Review, entry 64 and issue of the report: a trend over all that was done."""
    runs = [
        *VERDICT["runs"],
        {"from": "live", "to": "live", "began": BEGAN + 10, "seconds": 9.0, "store": "frankfurt",
         "services_held_seconds": 0.21, "window_seconds": 0.21},
        {"from": "live", "to": "mirror", "began": BEGAN + 90, "seconds": 9.0, "services_held_seconds": 0.04},
    ]  # fmt: skip
    found = report.waits(runs)
    assert [(wait.seconds, wait.stopped) for wait in found] == [(2.1, True), (0.21, False), (0.04, False)]
    assert [round(wait.width) for wait in found] == [100, 10, 2]
    page = report.render("prod", "m", "b", {**VERDICT, "runs": runs})
    said = text(page)
    for words in ("mirror → live 2.1 s stopped", "live → live to frankfurt 0.2 s held", "live → mirror 0.04 s held"):
        assert words in said, said
    assert "For how long people waited" not in text(report.render("p", "m", "b", {**VERDICT, "runs": runs[:2]}))


def test_an_adoption_says_that_it_was_one() -> None:
    runs = [{"from": "local", "to": "clean", "began": BEGAN, "seconds": 3.0}]
    assert "an earlier mount of the bucket was taken over" in text(
        report.render("prod", "m", "b", {**VERDICT, "runs": runs})
    )


def test_an_update_that_did_nothing_leaves_no_other_page_and_a_server_without_a_run_none(tmp_path: Path) -> None:
    page = report.leave(tmp_path, "prod", "m", "b", VERDICT)
    assert page and page == tmp_path / "prod" / "2026-09-21-141340-live.html"
    page.write_text("seen")
    assert report.leave(tmp_path, "prod", "m", "b", VERDICT) == page and page.read_text() == "seen"
    assert report.leave(tmp_path, "prod", "m", "b", {"phase": "local"}) is None
    assert list(tmp_path.rglob("*.new")) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (12.3, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.9, "60 s")]
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert report.duration(seconds) == words
