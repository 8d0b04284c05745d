"""What a search has found, under the axis of the chart against the load."""

from __future__ import annotations

import pytest

from llmtui.ui.charts.found_strip import FoundMark, on_axis, place_of, rows_of, strip


@pytest.mark.parametrize(("streams", "place"), [(1, 0.0), (2, 1.0), (3, 1.5), (4, 2.0), (6, 2.5), (8, 3.0), (16, 3.0)])
def test_the_place_of_streams_between_two_levels_and_beyond_the_last(streams: int, place: float) -> None:
    assert place_of(streams, [1, 2, 4, 8]) == place


def drawn(mark: FoundMark, levels: int = 4, columns: int = 40) -> str:
    """The cells on the axis."""
    line = "".join(text for text, _ in strip(mark, levels, columns + 4, columns, False))
    assert len(line) == columns + 4 and line.startswith("  ● ")
    return line[4:].rstrip()


def test_the_mark_stands_in_its_interval_with_the_words_beside_it() -> None:
    line = drawn(FoundMark(0, "knee 2", at=1, low=0, high=2))
    # The middles of the levels are 4.5, 14.5, 24.5 and 34.5.
    assert line == f"{' ' * 4}├{'─' * 9}●{'─' * 9}┤ knee 2"
    assert drawn(FoundMark(0, "keeps up to 8", at=3)) == f"{' ' * 20}keeps up to 8 ●", "no room at the right"
    assert drawn(FoundMark(0, "knee 4 or more", low=2, beyond=True)) == f"{' ' * 9}knee 4 or more ├{'─' * 14}►"
    assert drawn(FoundMark(0, "keeps none")) == "keeps none"


def test_the_chart_keeps_its_room() -> None:
    marks = [FoundMark(n, "") for n in range(5)]
    assert [rows_of(marks[:2], rows) for rows in (7, 8)] == [0, 2]
    assert rows_of(marks, 30) == 0, "the panels of many backends say it"


def test_without_room_below_the_marks_are_on_the_axis() -> None:
    marks = [FoundMark(0, "", at=1, low=0, high=2), FoundMark(1, "", at=1)]
    line = on_axis(((f"  └{'─' * 40}", "dim"),), marks, 4, 43, 40, False)
    text = "".join(part for part, _ in line)
    assert text == f"  └{'─' * 4}{'━' * 10}●+{'━' * 9}{'─' * 15}"
