"""What the benchmark makes of its figures."""

from __future__ import annotations

from statistics import mean

import pytest

from bench import media, report
from bench.contenders import LIMIT, MANUAL, PROGRAM


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
