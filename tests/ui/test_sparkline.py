"""The small plot and the large digits of a panel."""

from __future__ import annotations

import pytest

from llmtui.ui.charts.sparkline import decimate, large_digits, sparkline
from llmtui.ui.text.spans import width_of
from tests.ui.lines import text_of


def test_decimate_keeps_two_points_a_column_and_the_extremes() -> None:
    values = [float(i % 97) for i in range(100_000)]
    values[50_001] = 1000.0
    values[77_777] = -5.0
    points = decimate(list(enumerate(values)), 50, len(values))
    assert len(points) <= 100
    assert (50_001, 1000.0) in points
    assert (77_777, -5.0) in points
    assert [i for i, _ in points] == sorted(i for i, _ in points)


@pytest.mark.parametrize("marker", ["braille", "fhd", "dot", "ascii"])
def test_sparkline_fills_its_cells(marker: str) -> None:
    lines = sparkline([(0, 1.0), (1, 1.1), (2, float("inf")), (4, 0.9)], 1.0, 20, 3, marker, "s1", 10)  # type: ignore[arg-type]
    assert len(lines) == 3
    assert all(width_of(line) == 20 for line in lines)
    assert "─" in text_of(lines)


def test_large_digits_return_none_without_room() -> None:
    assert large_digits("123.456", "s", 20, "s1") is not None
    assert large_digits("123.456", "s", 10, "s1") is None
    assert large_digits("3e9", "s", 30, "s1") is None
