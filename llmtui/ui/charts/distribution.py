"""Box plot and ECDF: values run across, so a column is worth less than a row would be. Pure, without plotext."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from llmtui.stats.summary import Box
from llmtui.ui.charts.axes import LogScale, Scale
from llmtui.ui.text.spans import Line, Role, Span, fit, width_of

AnyScale = Scale | LogScale
Cells = dict[tuple[int, int], Span]


def axes(cells: Cells, scale: AnyScale, rows: int, gutter: Sequence[Line], ticked: Sequence[int] = ()) -> list[Line]:
    """`cells` by (column, row from the top) over a value axis with labels: `rows` + 2 lines.

    `gutter` stands left of each row, all of the same width; `ticked` rows have a tick there.
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
    words = [" "] * (margin + 1 + scale.cells)
    free = 0
    for column, label in marks:
        line[column] = "┬"
        start = min(margin + 1 + column - len(label) // 2, len(words) - len(label))
        if start >= free:
            words[start : start + len(label)] = label
            free = start + len(label) + 1
    lines.append(((" " * margin + "└" + "".join(line), "dim"),))
    lines.append((("".join(words), "dim"),))
    return lines


def box_cells(box: Box, scale: AnyScale, top: int, high: int, mark: str, role: Role) -> Cells:
    """One box in `high` (1 or 3) rows from `top` on: whiskers, quartiles, median, outliers."""
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
    """How many rows a box takes where so many stand in `rows`."""
    return 3 if backends * 3 <= rows else 1


def places(backends: int, rows: int, high: int) -> list[int]:
    """The first row of each of so many boxes, evenly spread over `rows`."""
    return [round((i + 0.5) * rows / backends - high / 2) for i in range(backends)]


def ecdf_cells(ordered: Sequence[float], scale: AnyScale, rows: int, mark: str, role: Role) -> Cells:
    """The share of `ordered` (ascending) up to each column's value, climbing from the lowest row to the highest."""
    cells: Cells = {}
    below = 0
    for column in range(scale.cells):
        share = bisect.bisect_right(ordered, scale.value(column + 0.5)) / len(ordered)
        row = round(share * (rows - 1))
        if share:
            for step in range(min(below + 1, row) if cells else 0, row + 1):
                cells[column, rows - 1 - step] = (mark, role)
        below = row
        if share == 1:
            break
    return cells


def titled_row(words: str, width: int, margin: int = 0) -> Line:
    """An axis' title, in the middle of what is right of `margin`."""
    blank = margin + max(0, (width - margin - len(words)) // 2)
    return fit([(" " * blank, ""), (words, "dim")], width)
