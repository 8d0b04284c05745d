"""The chart of the trend page: the medians of the runs of a backend, the oldest on the left.

A mark is the median of a run, the stroke through it the 95% interval, the dotted line the level between two shifts.
Signs below the axis mark the runs at which the level shifts, or a version or a setting changed.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llmtui.stats.metrics import ALL_METRICS
from llmtui.stats.run_series import RunPoint, RunSeries
from llmtui.text import sanitize
from llmtui.text.format import Scale, plural, unit_of
from llmtui.ui.charts.axes import AnyScale
from llmtui.ui.charts.distribution import title_row
from llmtui.ui.charts.load_chart_data import scale_of_values
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas_columns, laid_over_axes
from llmtui.ui.charts.slots import stroke
from llmtui.ui.text.spans import Line, Role, fit

#: The signs below the axis, and the marks of the medians.
SHIFT, CHANGE = "▲", "◆"
_MEDIAN, _DISTURBED = "●", "○"
#: The line of a level at the four heights of a row, from below.
_DOTS = "⣀⠤⠒⠉"
#: Rows below the points: the axis, its labels, the signs, and what all of these mean.
_FOOT = 4
#: Where a date with its year, a date, and a date with its time begin and end in an instant.
_YEAR, _DAY, _TIME = slice(0, 10), slice(5, 10), slice(5, 16)


class _Drawn(NamedTuple):
    """The runs that have a column, with the place of the first one in the series, and the axes."""

    points: Sequence[RunPoint]
    first: int
    factor: float
    scale: AnyScale
    ticks: list[Tick]
    columns: int

    def column(self, place: int) -> int:
        """The column of a run by its place in the series."""
        count, at = len(self.points), place - self.first
        return (at * self.columns // count + (at + 1) * self.columns // count - 1) // 2


def draw_trend(series: RunSeries, role: Role, width: int, height: int) -> list[Line]:
    """Draw a series with points in exactly `width` by `height` cells. `role` is the colour of the backend."""
    drawn = _drawn(series, width, height - _FOOT)
    # A mark is over a stroke, and both are over the line of the level.
    marks: list[Mark] = [(x, row, text, "dim") for x, row, text in _levels(series, drawn)]
    for place, point in enumerate(drawn.points, drawn.first):
        x, row = drawn.column(place), drawn.scale.cell(point.median * drawn.factor)
        if point.low is not None and point.high is not None:
            ends = (drawn.scale.at(end * drawn.factor) for end in (point.low, point.high))
            low, high = (min(drawn.scale.cells - 0.5, max(-0.5, end)) for end in ends)
            marks += [(x, at, sign, role) for at, sign in stroke(low, high) if 0 <= at < drawn.scale.cells]
        marks.append((x, row, _DISTURBED if point.disturbed else _MEDIAN, role))
    body = laid_over_axes(
        marks,
        width,
        drawn.scale.cells + 2,
        rows=drawn.scale.cells,
        x_ticks=_dates(drawn),
        y_ticks=drawn.ticks,
    )
    blank: Line = ((" " * width, ""),)
    above = [blank] * (height - _FOOT - drawn.scale.cells)
    return [*above, *body, _signs(series, drawn, width), title_row(_caption(series, drawn, width), width)]


def _drawn(series: RunSeries, width: int, rows: int) -> _Drawn:
    """The newest runs that have a column each, and their axes."""
    factor = Scale(unit_of([point.median for point in series.points], ALL_METRICS[series.metric].unit), 0).factor
    points = series.points[-width:]
    for _ in range(2):
        ends = [value for p in points for value in (p.median, p.low, p.high) if value is not None]
        scale = scale_of_values([value * factor for value in ends], rows, log=False)
        ticks: list[Tick] = [(scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
        columns = canvas_columns(ticks, width)
        points = points[-columns:]
    return _Drawn(points, len(series.points) - len(points), factor, scale, ticks, columns)


def _levels(series: RunSeries, drawn: _Drawn) -> Iterator[tuple[int, int, str]]:
    """A dotted line at the median of the runs between two shifts."""
    ends = [0, *(shift.at for shift in series.shifts), len(series.points)]
    for start, end in itertools.pairwise(ends):
        if end <= drawn.first:
            continue
        level = statistics.median(point.median for point in series.points[start:end]) * drawn.factor
        row, dot = divmod(min(4 * drawn.scale.cells - 1, max(0, round(4 * drawn.scale.at(level) + 1.5))), 4)
        first = drawn.column(max(start, drawn.first))
        for x in range(first, drawn.column(end - 1) + 1, 2):
            yield x, row, _DOTS[dot]


def _dates(drawn: _Drawn) -> list[Tick]:
    """The starts of runs as labels, as many as have room, the newest first."""
    starts = [point.created_utc for point in drawn.points]
    part = _TIME if len({s[_YEAR] for s in starts}) == 1 else _DAY if len({s[:4] for s in starts}) == 1 else _YEAR
    taken, ticks = drawn.columns, list[Tick]()
    for place in range(len(starts) - 1, -1, -1):
        label = sanitize(starts[place][part].replace("T", " "))
        x = drawn.column(drawn.first + place)
        begin = x - len(label) // 2
        if begin >= 0 and begin + len(label) <= taken:
            ticks.append((x, label))
            taken = begin - 2
    return ticks[::-1]


def _signs(series: RunSeries, drawn: _Drawn, width: int) -> Line:
    """The row of signs: a shift of the level, else a change of a version or a setting."""
    margin = width - drawn.columns
    shifts = {shift.at for shift in series.shifts}
    spans: list[tuple[str, Role]] = []
    end = 0
    for place, point in enumerate(drawn.points, drawn.first):
        if place in shifts or point.changes:
            x = margin + drawn.column(place)
            spans += [(" " * (x - end), ""), (SHIFT, "warn") if place in shifts else (CHANGE, "accent")]
            end = x + 1
    return fit(spans, width)


def _caption(series: RunSeries, drawn: _Drawn, width: int) -> str:
    """What the marks are: in whole words if there is room, else in short ones, as many as have room."""
    shown, every = len(drawn.points), len(series.points)
    parts = [(f"the newest {shown} of {plural(every, 'run')}", f"newest {shown} of {every}")] if shown < every else []
    parts.append((f"{_MEDIAN} median of a run", f"{_MEDIAN} median"))
    if any(point.low is not None for point in drawn.points):
        parts.append(("│ 95% interval", "│ 95%"))
    if any(shift.at >= drawn.first for shift in series.shifts):
        parts.append((f"{SHIFT} level shift", f"{SHIFT} level shift"))
    if any(point.changes for point in drawn.points):
        parts.append((f"{CHANGE} version or setting changed", f"{CHANGE} version, setting"))
    if any(point.disturbed for point in drawn.points):
        parts.append((f"{_DISTURBED} other programs busy", f"{_DISTURBED} disturbed"))
    parts.append(("⠒ ⠒ level", "⠒ level"))
    whole = "   ".join(long for long, _ in parts)
    if len(whole) <= width:
        return whole
    text = ""
    for _, short in parts:
        longer = f"{text}  {short}" if text else short
        text = longer if len(longer) <= width else text
    return text
