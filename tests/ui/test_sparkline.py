"""The small plot and the large digits of a panel."""

from __future__ import annotations

import random

import pytest

from llmtui.stats.course import VALUES, Course
from llmtui.stats.summary import percentile
from llmtui.ui.charts.sparkline import bands, large_digits, sparkline
from llmtui.ui.text.spans import width_of
from tests.ui.lines import text_of


def test_bands_are_percentiles_of_each_column() -> None:
    values = [float(n % 100) for n in range(10_000)]
    values[5_001] = 1000.0
    drawn = bands(list(enumerate(values)), (), 50, len(values))
    assert [column for column, *_ in drawn] == list(range(50))
    for _, *quantiles in drawn:
        assert quantiles == pytest.approx([9.5, 49.5, 89.5], abs=1)


def test_bands_of_an_attempt_are_near_those_of_all_its_values() -> None:
    rng = random.Random(1)
    values = [rng.gauss(1, 0.1) * (2 if n > 30_000 else 1) for n in range(50_000)]
    course = Course()
    for place, value in enumerate(values):
        course.add(place, value)
    assert max(len(some) for _, some in course.stretches) <= VALUES
    for column, *seen in bands(course.points, course.stretches, 20, len(values)):
        some = sorted(v for n, v in enumerate(values) if n * 20 // len(values) == column)
        truth = [percentile(some, share) for share in (0.1, 0.5, 0.9)]
        assert seen == pytest.approx(truth, rel=0.03)


def test_long_plot_is_filled_where_most_values_are() -> None:
    points = [(n, 1.0 + 0.1 * (n % 11 - 5) / 5) for n in range(2000)]
    rows = text_of(sparkline(points, 1.0, 20, 4, "braille", "s1", 2000, reach=0.2)).split("\n")
    assert not rows[0].strip() and all(c not in " ─" for row in rows[1:3] for c in row)


def test_plots_of_equal_reach_show_which_backend_is_noisier() -> None:
    quiet, noisy = [(n, 1.0 + 0.01 * (n % 3 - 1)) for n in range(12)], [(n, 3.0 + 0.6 * (n % 3 - 1)) for n in range(12)]
    rows = [
        sum(any(c not in " ─" for c in row) for row in text_of(plot).split("\n"))
        for plot in (sparkline(p, p[1][1], 20, 5, "braille", "s1", 12, reach=0.2) for p in (quiet, noisy))
    ]
    assert rows == [1, 3]


@pytest.mark.parametrize("marker", ["braille", "fhd", "dot", "ascii"])
def test_sparkline_fills_its_cells(marker: str) -> None:
    lines = sparkline([(0, 1.0), (1, 1.1), (2, float("inf")), (4, 0.9)], 1.0, 20, 3, marker, "s1", 10)  # type: ignore[arg-type]
    assert len(lines) == 3
    assert all(width_of(line) == 20 for line in lines)
    assert "─" in text_of(lines)


def test_large_digits_return_none_without_room() -> None:
    assert large_digits("123.456", "s", 21, "s1") is not None
    assert large_digits("123.456", "s", 20, "s1") is None, "no room for the unit"
    assert large_digits("123.456", "s", 10, "s1") is None
    assert large_digits("3e9", "s", 30, "s1") is None
