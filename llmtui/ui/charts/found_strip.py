"""What a search has found, under the axis of its levels: a line for each backend, with its mark and its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from llmtui.text.cells import cells_wide
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line, Role, Span, fit, overlay, series_role

#: The fewest rows that the chart keeps above these lines.
_LEAST_ROWS = 6
#: More backends have no lines: their panels say what was found.
_MOST = 4


@dataclasses.dataclass(frozen=True)
class FoundMark:
    """What was found of the backend `index`, in places of the axis: the result `at`, and its interval.

    `at` is None if no level is sure. `low` and `high` are None without an interval, `beyond`: it has no upper end.
    """

    index: int
    text: str
    at: float | None = None
    low: float | None = None
    high: float | None = None
    beyond: bool = False


def place_of(streams: int, counts: Sequence[int]) -> float:
    """The place of a number of streams on an axis of these levels (ascending), also between two of them."""
    for place, count in enumerate(counts):
        if streams <= count:
            below = counts[place - 1] if place else count
            return float(place) if streams == count or not place else place - (count - streams) / (count - below)
    return float(len(counts) - 1)


def rows_of(marks: Sequence[FoundMark], rows: int) -> int:
    """How many lines there are in a chart with this number of rows."""
    return len(marks) if len(marks) <= _MOST and rows - len(marks) >= _LEAST_ROWS else 0


def on_axis(line: Line, marks: Sequence[FoundMark], levels: int, width: int, columns: int, ascii_only: bool) -> Line:
    """Draw the marks and their intervals on the axis itself, if no row below it is free."""
    taken: set[int] = set()
    for mark in marks:
        if mark.low is not None:
            end = columns - 1 if mark.beyond or mark.high is None else _column(mark.high, levels, columns)
            for x in range(_column(mark.low, levels, columns), end + 1):
                line = overlay(line, width - columns + x, ("=" if ascii_only else "━", series_role(mark.index)))
    for mark in marks:
        if mark.at is not None:
            x = _column(mark.at, levels, columns)
            x = next((place for place in range(x, columns) if place not in taken), x)
            taken.add(x)
            line = overlay(line, width - columns + x, (shape(mark.index, ascii_only), series_role(mark.index)))
    return line


def _column(place: float, levels: int, columns: int) -> int:
    """The column of a place: a whole one is under the label of its level."""

    def middle(level: int) -> int:
        return (level * columns // levels + (level + 1) * columns // levels - 1) // 2

    below = int(place)
    return min(columns - 1, round(middle(below) + (middle(below + 1) - middle(below)) * (place - below)))


def strip(mark: FoundMark, levels: int, width: int, columns: int, ascii_only: bool) -> Line:
    """Draw the line of a backend; the axis takes the last `columns` of its `width` cells."""
    role = series_role(mark.index)
    cells: dict[int, Span] = {}

    if mark.low is not None:
        start = _column(mark.low, levels, columns)
        end = columns - 1 if mark.beyond or mark.high is None else _column(mark.high, levels, columns)
        ends = ("├", (">" if ascii_only else "►") if mark.beyond else "┤")
        for x in range(start, end + 1) if end > start else ():
            cells[x] = (ends[0] if x == start else ends[1] if x == end else "─", role)
    if mark.at is not None:
        cells[_column(mark.at, levels, columns)] = (shape(mark.index, ascii_only), role)
    _label(cells, mark, columns)
    spans: list[Span] = [(f"{shape(mark.index, ascii_only)} ".rjust(width - columns), role)]
    spans += [cells.get(x, (" ", "")) for x in range(columns)]
    return fit(spans, width)


def _label(cells: dict[int, Span], mark: FoundMark, columns: int) -> None:
    """Put the text to the right of the interval, or to its left, where it has room; else nowhere."""
    first, last = min(cells, default=-2), max(cells, default=-2)
    size = cells_wide(mark.text)
    role: Role = "dim"
    starts = [last + 2] if last + 2 + size <= columns else [first - 1 - size] if first - 1 - size >= 0 else []
    for start in starts:
        for x, sign in enumerate(mark.text, start):
            cells[x] = (sign, role)
