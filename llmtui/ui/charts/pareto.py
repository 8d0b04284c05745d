"""The Pareto view: what one stream gets against what all streams get together, a point a level, joined by backend."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.ui.charts.axes import AnyScale
from llmtui.ui.charts.load_chart_data import ParetoChart, ParetoPoint, ParetoSeries, scale_of_values
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas_columns, laid_over_axes
from llmtui.ui.charts.sparkline import bit_of, cell_of
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import TINTS, Line, Role, series_role

#: With more points only the two ends of each line have their labels.
_LABELLED = 40

Cells = dict[tuple[int, int], Mark]


def draw_pareto(chart: ParetoChart, width: int, height: int) -> tuple[list[Line], str]:
    """Draw the points with both axes in `height` lines. Return them with the caption of the horizontal axis."""
    rows = height - 2
    drawn = [series for series in chart.series if series.points]
    points = [point for series in drawn for point in series.points]
    upwards = scale_of_values([point.y for point in points], rows, log=chart.log)
    ticks: list[Tick] = [(upwards.cell(tick), label) for tick, label in zip(upwards.ticks, upwards.labels, strict=True)]
    columns = canvas_columns(ticks, width)
    across = scale_of_values([point.x for point in points], columns, log=chart.log, across=True)
    marks: Cells = {}
    left_out = 0
    for series in drawn:
        for point in series.points:
            at = across.cell(point.x), upwards.cell(point.y)
            left_out += at in marks
            marks.setdefault(at, (*at, shape(series.index, chart.ascii_only), series.role))
    labels = _labels(chart, drawn, across, upwards, columns, marks)
    cells = _paths(chart, drawn, across, upwards, columns) | labels | marks
    x_ticks: list[Tick] = []
    for tick, label in zip(across.ticks, across.labels, strict=True):
        cell = across.cell(tick)
        if cell < columns and (not x_ticks or cell - x_ticks[-1][0] > (len(label) + len(x_ticks[-1][1])) / 2 + 1):
            x_ticks.append((cell, label))
    body = laid_over_axes(
        list(cells.values()), width, upwards.cells + 2, rows=upwards.cells, x_ticks=x_ticks, y_ticks=ticks
    )
    blank: Line = ((" " * width, ""),)
    hidden = f", {left_out} behind others" if left_out else ""
    named = f"{chart.across}{hidden}; {'a label' if ' ' in chart.counted else 'a number'}: {chart.counted}"
    caption = named if labels and len(named) <= width else f"{chart.across}{hidden}"
    return [blank] * (rows - upwards.cells) + body, caption


def _labels(
    chart: ParetoChart, drawn: list[ParetoSeries], across: AnyScale, upwards: AnyScale, columns: int, marks: Cells
) -> Cells:
    """The levels beside their points, where that hides no mark and no other label."""
    cells: Cells = {}
    few = sum(len(series.points) for series in drawn) <= _LABELLED
    for series in drawn:
        # The ends say most about a line.
        order = series.points[:1] + series.points[1:][::-1] if few else series.points[:1] + series.points[1:][-1:]
        for point in order:
            x, y = across.cell(point.x), upwards.cell(point.y)
            label = chart.levels[point.place]
            size = len(label)
            for start, row in ((x + 1, y), (x - size, y), (x - size // 2, y + 1), (x - size // 2, y - 1)):
                wanted = [(column, row) for column in range(start, start + size)]
                around = [(start - 1, row), *wanted, (start + size, row)]
                inside = start >= 0 and start + size <= columns and 0 <= row < upwards.cells
                # Another mark beside it would seem to be the one that it names.
                if inside and not any(at in cells or (at in marks and at != (x, y)) for at in around):
                    cells |= {at: (*at, c, "dim") for at, c in zip(wanted, label, strict=True)}
                    break
    return cells


def _joined(series: ParetoSeries) -> Iterator[tuple[ParetoPoint, ParetoPoint]]:
    """The pairs of points with a line between them."""
    for line in dict.fromkeys(point.line for point in series.points):
        yield from itertools.pairwise(point for point in series.points if point.line == line)


def _paths(chart: ParetoChart, drawn: list[ParetoSeries], across: AnyScale, upwards: AnyScale, columns: int) -> Cells:
    """Lines from each point to the next one, in dots of braille; cells that several backends share have no colour."""
    bits: dict[tuple[int, int], int] = {}
    owners: dict[tuple[int, int], set[int]] = {}
    for series in drawn:
        for one, two in _joined(series):
            x, y = 2 * across.at(one.x) + 0.5, 4 * upwards.at(one.y) + 1.5
            right, up = 2 * across.at(two.x) + 0.5 - x, 4 * upwards.at(two.y) + 1.5 - y
            steps = max(1, round(max(abs(right), abs(up))))
            for step in range(steps + 1):
                dot_x, dot_y = round(x + right * step / steps), round(y + up * step / steps)
                if 0 <= dot_x < 2 * columns and 0 <= dot_y < 4 * upwards.cells:
                    at = dot_x // 2, dot_y // 4
                    bits[at] = bits.get(at, 0) | bit_of(dot_x, 3 - dot_y % 4, "braille")
                    owners.setdefault(at, set()).add(series.index)
    cells: Cells = {}
    for at, bit in bits.items():
        role: Role = series_role(min(owners[at]), TINTS) if len(owners[at]) == 1 else "dim"
        cells[at] = (*at, "." if chart.ascii_only else cell_of(bit, "braille"), role)
    return cells
