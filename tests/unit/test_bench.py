"""What the benchmark makes of its figures."""

from __future__ import annotations

from statistics import mean

import pytest

from bench import media, noticed, report
from bench.contenders import LIMIT, MANUAL, PROGRAM
from sandbox.clients import Wait


def test_a_laid_media_store_has_the_proportions_of_a_real_one() -> None:
    found = list(media.names(6000, seed=3))
    assert len({path for path, _ in found}) == 6000
    originals = [size for path, size in found if path.startswith("local_content/")]
    thumbnails = [size for path, size in found if path.startswith("local_thumbnails/")]
    assert len(thumbnails) == 5 * len(originals)
    assert mean(originals) > 10 * mean(thumbnails)
    assert found == list(media.names(6000, seed=3)) != list(media.names(6000, seed=4))


def test_ratios_are_taken_of_medians_and_the_fastest_other_counts_as_the_stores_limit() -> None:
    (row,) = report.first_copies(
        [{"seconds": {PROGRAM: [10, 11, 99], MANUAL: [300, 330, 310], LIMIT: [9, 9, 9], "other": [8.8, 8.8, 8.8]}}]
    )
    assert row["times_faster_than_manual"] == pytest.approx(310 / 11, abs=0.1)
    assert row["percent_of_limit"] == 80


def test_growth_compares_the_smallest_store_with_the_largest_at_the_same_number_of_late_files() -> None:
    rows = [
        {"files": 100_000, "late": 100, "window": 3.0}, {"files": 5000, "late": 1000, "window": 9.0},
        {"files": 5000, "late": 100, "window": 2.0}, {"files": 20_000, "late": 100, "window": 2.2},
    ]  # fmt: skip
    assert report.growth(rows) == 1.5
    assert report.growth(rows[:1]) is None


def test_the_manual_second_pass_is_compared_with_the_window_of_the_same_store() -> None:
    copies = [
        {"files": 5000, "second_late": 100, "manual_second_pass": []},
        {"files": 5000, "second_late": 100, "manual_second_pass": [9.0, 10.0, 30.0]},
    ]
    rows = [{"files": 5000, "late": 10, "window": 0.1}, {"files": 5000, "late": 100, "window": 0.5}]
    assert report.second_pass_ratio(copies, rows) == 20.0
    assert report.second_pass_ratio(copies[:1], rows) is None


def test_what_people_notice_is_summed_and_the_middle_of_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        {"requests": 10, "failed": failed, "longest_before": 0.1, "longest": longest, "dark": 1, "stood_still": stood}
        for failed, longest, stood in ((0, 0.5, 0.1), (2, 9.0, None), (1, 0.7, 0.3))
    ]
    (row,) = report.noticed_rows([{"files": 5, "latency_ms": 0, "ways": {"held": {"cutover": runs}}}])
    assert (row["requests"], row["failed"], row["longest"], row["stood_still"]) == (30, 3, 0.7, 0.2)


def test_a_move_is_compared_with_concurrent_puts_and_its_needs_are_the_most_of_all_runs() -> None:
    copies = [
        {"seconds": seconds, "through_server": 5, "memory_mb": memory, "disk_mb": 1.0, "by_store": False}
        for seconds, memory in ((10.0, 90.0), (50.0, 120.0), (12.0, 80.0))
    ]
    record = {"files": 5, "bytes": 7, "latency_ms": 1, "copies": copies, "limits": [9.0, 9.0, 30.0]}
    (row,) = report.moved_rows([record])
    assert (row["seconds"], row["limit"], row["percent_of_limit"], row["memory_mb"]) == (12.0, 9.0, 75, 120.0)


def test_the_longest_time_without_an_answer_lies_between_two_that_succeeded() -> None:
    waits = [
        Wait("download", 0.0, 1.0), Wait("download", 1.5, 0.1, "refused"), Wait("large upload", 2.0, 0.5),
        Wait("upload", 3.0, 2.0), Wait("thumbnail", 5.1, 0.4),
    ]  # fmt: skip
    assert noticed.dark(waits) == 4.0


def test_a_wait_is_drawn_the_higher_the_longer_it_was() -> None:
    assert [report.height(seconds) for seconds in (0.001, 0.01, 0.1, 1, 100, 999)] == [110, 110, 85, 60, 10, 10]
    shown, end = report.dots([[-20.0, 0.1, False], [-10.0, 0.1, False], [50.0, 1.0, True]])
    assert (shown, end) == ([(150.0, 85.0, False), (750.0, 60.0, True)], 50)
