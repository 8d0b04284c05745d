"""Box plot and ECDF. Values run across, as there are more columns than rows. Drawn without plotext."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from llmtui.stats.metrics import METRICS
from llmtui.stats.summary import Box
from llmtui.text.format import figures
from llmtui.ui.charts.axes import AnyScale
from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line, Role, Span, clip_name, fit, width_of

#: Characters by (column, row from the top).
Cells = dict[tuple[int, int], Span]
#: From this many rows on, the axis of shares labels the quarters too.
_QUARTERS_FROM = 9


def axes(cells: Cells, scale: AnyScale, rows: int, gutter: Sequence[Line], ticked: Sequence[int] = ()) -> list[Line]:
    """Draw `cells` over a value axis with labels: `rows` + 2 lines.

    `gutter` is what goes left of each row, all of the same width; `ticked` rows have a tick there.
    """
    margin = width_of(gutter[0]) if gutter else 0
    lines: list[Line] = []
    for row in range(rows):
        spans: list[Span] = [*gutter[row], ("┤" if row in ticked else "│", "dim")]
        for column in range(scale.cells):
            text, role = cells.get((column, row), (" ", ""))
            if role == spans[-1][1]:
                spans[-1] = (spans[-1][0] + text, role)
            else:
                spans.append((text, role))
        lines.append(tuple(spans))
    marks = [(scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
    line = ["─"] * scale.cells
    labels = [" "] * (margin + 1 + scale.cells)
    free = 0
    for column, label in marks:
        line[column] = "┬"
        start = min(margin + 1 + column - len(label) // 2, len(labels) - len(label))
        if start >= free:
            labels[start : start + len(label)] = label
            free = start + len(label) + 1
    lines.append(((" " * margin + "└" + "".join(line), "dim"),))
    lines.append((("".join(labels), "dim"),))
    return lines


def box_cells(box: Box, scale: AnyScale, top: int, high: int, mark: str, role: Role) -> Cells:
    """Draw one box in `high` (1 or 3) rows from `top` on: whiskers, quartiles, median, outliers."""
    cells: Cells = {}
    low, q1, median, q3, end = (scale.cell(v) for v in (box.low, box.q1, box.median, box.q3, box.high))
    middle = top + high // 2
    for value in (*box.below, *box.above):
        cells[scale.cell(value), middle] = (mark, role)
    for column in range(low, end + 1):
        cells[column, middle] = ("─", role)
    if low < q1:
        cells[low, middle] = ("├", role)
    if q3 < end:
        cells[end, middle] = ("┤", role)
    for column in range(q1, q3 + 1):
        cells[column, middle] = ("▒" if high == 1 else " ", role)
        if high == 3 and q1 < q3:
            left, right = column == q1, column == q3
            cells[column, top] = ("┌" if left else "┐" if right else "─", role)
            cells[column, top + 2] = ("└" if left else "┘" if right else "─", role)
    if high == 3 and q1 < q3:
        cells[q1, middle] = ("┤" if low < q1 else "│", role)
        cells[q3, middle] = ("├" if q3 < end else "│", role)
    for row in range(top, top + high):
        cells[median, row] = ("┃", role)
    return cells


def box_height(backends: int, rows: int) -> int:
    """How many rows each of `backends` boxes takes in `rows`: 3 or 1."""
    return 3 if backends * 3 <= rows else 1


def box_rows(backends: int, rows: int, high: int) -> list[int]:
    """The first row of each of `backends` boxes of `high` rows, evenly spread over `rows`."""
    return [round((i + 0.5) * rows / backends - high / 2) for i in range(backends)]


def ecdf_rows(ordered: Sequence[float], scale: AnyScale, rows: int) -> list[tuple[int, int, int]]:
    """Where the share of `ordered` (ascending) up to each column's value is: column, lowest and highest row.

    Rows count from below. The highest one means all, so that the slowest iterations can be seen.
    """
    curve: list[tuple[int, int, int]] = []
    below = 0
    for column in range(scale.cells):
        share = bisect.bisect_right(ordered, scale.value(column + 0.5)) / len(ordered)
        row = rows - 1 if share == 1 else min(rows - 2, round(share * (rows - 1)))
        if share:
            curve.append((column, min(below + 1, row) if curve else 0, row))
        below = row
        if share == 1:
            break
    return curve


def share_rows(rows: int) -> tuple[int, int]:
    """How many of `rows` rows an axis of shares takes, so that round shares are on rows, and how many steps it has."""
    for taken in (rows, rows - 1):
        for steps in (4, 5, 2) if taken >= _QUARTERS_FROM else (2,):
            if taken > steps and (taken - 1) % steps == 0:
                return taken, steps
    return rows, 1


def title_row(title: str, width: int) -> Line:
    """Centre the title of an axis."""
    blank = max(0, (width - len(title)) // 2)
    return fit([(" " * blank, ""), (title, "dim")], width)


def draw_boxes(chart: ChartData, width: int, height: int) -> list[Line]:
    """Draw a box for each backend, its name left of it and its median right of it; boxes without room are counted."""
    drawn = [(s, s.box) for s in chart.series if s.box is not None]
    rows = max(1, height - 2)
    left_out = len(drawn) - (rows - 1) if len(drawn) > rows else 0
    drawn = drawn[: len(drawn) - left_out] or drawn[:1]
    margin = min(width // 4, max(width_of([(s.name, "")]) for s, _ in drawn) + 3)
    medians = [box.median for _, box in drawn]
    texts = figures(medians, METRICS[chart.metric].unit, chart.unit)[1]
    column = max(map(len, texts)) + 1
    shown = [(s, _in_axis_unit(chart, box)) for s, box in drawn]
    ends = [v for _, box in shown for v in (box.low, box.high, *box.below[:1], *box.above[-1:])]
    scale = chart.scale(ends, width - margin - 1 - column, across=True)
    high = box_height(len(shown), rows - bool(left_out))
    cells: Cells = {}
    gutter: list[Line] = [((" " * margin, ""),)] * rows
    middles: list[int] = []
    for top, (series, box) in zip(box_rows(len(shown), rows - bool(left_out), high), shown, strict=True):
        mark = shape(series.index, chart.ascii_only)
        cells |= box_cells(box, scale, top, high, mark, series.role)
        middles.append(top + high // 2)
        gutter[middles[-1]] = fit([(f"{mark} ", series.role), (clip_name(series.name, margin - 3), "dim")], margin)
    lines = axes(cells, scale, rows, gutter)
    for row, figure in zip(middles, texts, strict=True):
        lines[row] = (*lines[row], (figure.rjust(column), "strong"))
    if left_out and rows > 1:
        words = f"+{left_out} more: no room for {'it' if left_out == 1 else 'them'} here, c shows other charts"
        lines[rows - 1] = fit([(words, "warn")], width)
    return lines


def _in_axis_unit(chart: ChartData, box: Box) -> Box:
    """Convert a box to the unit of the value axis."""
    low, q1, median, q3, high = (chart.shown(v) for v in (box.low, box.q1, box.median, box.q3, box.high))
    below, above = (tuple(chart.shown(v) for v in values) for values in (box.below, box.above))
    return Box(q1, median, q3, low, high, below, above)


def draw_ecdf(chart: ChartData, width: int, height: int) -> list[Line]:
    """Draw the ECDF of each backend over an axis of values, with shares in percent on the left."""
    drawn = [(s, [chart.shown(v) for v in s.ordered]) for s in chart.series if s.ordered]
    rows, steps = share_rows(max(2, height - 2))
    scale = chart.scale([v for _, values in drawn for v in (values[0], values[-1])], width - 5, across=True)
    ticked = {rows - 1 - step * (rows - 1) // steps: f"{step * 100 // steps}%" for step in range(steps + 1)}
    gutter: list[Line] = [((f"{ticked.get(row, ''):>4}", "dim"),) for row in range(rows)]
    owners: dict[tuple[int, int], list[Span]] = {}
    for series, values in drawn:
        mark: Span = (shape(series.index, chart.ascii_only), series.role)
        for column, lowest, highest in ecdf_rows(values, scale, rows):
            for row in range(lowest, highest + 1):
                owners.setdefault((column, rows - 1 - row), []).append(mark)
    # Curves that share cells take turns, or one of two equal ones would not be seen.
    cells = {at: marks[sum(at) % len(marks)] for at, marks in owners.items()}
    return [()] * (height - 2 - rows) + axes(cells, scale, rows, gutter, list(ticked))
