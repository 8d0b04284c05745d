"""The scatter chart: every iteration's value, in the order of the iterations."""

from __future__ import annotations

import math

from llmtui.ui.charts.chart_data import ChartData, Series
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas, canvas_columns
from llmtui.ui.charts.sparkline import decimate
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line

_MOST_TICKS = 20


def draw_scatter(chart: ChartData, width: int, height: int) -> list[Line]:
    """Draw the points with both axes, without the title of the horizontal one."""
    count = max(chart.planned, *(s.count for s in chart.series), 2)
    # Two points a column at most: a frame costs the same at ten iterations and at a million.
    drawn = [(s, [(index, chart.shown(v)) for index, v in decimate(s.points, width, count)]) for s in chart.series]
    scale = chart.scale([v for _, points in drawn for _, v in points] or [0.0, 1.0], height - 2)
    y_ticks = [(scale.at(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
    columns = canvas_columns(y_ticks, width)

    def column(index: int) -> int:
        return int((index + 0.5) / count * columns)

    cells: dict[tuple[int, int], list[Series]] = {}
    for series, points in drawn:
        for index, value in points:
            sharers = cells.setdefault((column(index), scale.cell(value)), [])
            if series not in sharers:
                sharers.append(series)
    # Series that share a cell take turns from column to column, or one of two equal ones would not be seen at all.
    turns = {at: turn for turn, at in enumerate(sorted({x for x, _ in cells}))}
    marks: list[Mark] = []
    for (x, y), sharers in cells.items():
        series = sharers[turns[x] % len(sharers)]
        marks.append((x, y, shape(series.index, chart.ascii_only), series.role))
    x_ticks: list[Tick] = [(column(number - 1), str(number)) for number in _labelled(count, columns)]
    return canvas(marks, width, height, rows=scale.cells, x_ticks=x_ticks, y_ticks=y_ticks)


def _labelled(count: int, columns: int) -> list[int]:
    """Which of `count` iterations have a label on the axis."""
    most = min(_MOST_TICKS, columns // 4, columns // (len(str(count)) + 2))
    every = max(1, math.ceil(count / max(1, most)))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if s * 10**p >= every)
    numbers = list(range(step, count + 1, step))
    return [1, *numbers] if step > 1 else numbers
