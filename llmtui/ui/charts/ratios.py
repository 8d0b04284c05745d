"""The chart of ratios: an interval for each, on one axis on which 1 is marked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.ui.charts.axes import AnyScale, log_scale_for, scale_for
from llmtui.ui.charts.plotext_canvas import Mark, canvas
from llmtui.ui.text.spans import Line, Role, pad

#: From this ratio between the ends on, the axis is logarithmic.
_LOG_FROM = 2.0


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A ratio with the ends of its interval; `clear` if the interval excludes 1, `figure` is the ratio as text."""

    name: str
    low: float
    middle: float
    high: float
    clear: bool
    figure: str


def draw_ratios(rows: Sequence[Ratio], width: int, most_name: int) -> list[Line]:
    """Draw a line for each ratio (its name, its interval, its figure) and the axis below.

    A name has at most `most_name` cells.
    """
    margin = min(most_name, width // 3, max(cell_len(row.name) for row in rows))
    column = max(len(row.figure) for row in rows) + 1
    columns = max(8, width - margin - column - 3)
    ends = [1.0, *(end for row in rows for end in (row.low, row.high))]
    log = max(ends) > _LOG_FROM * min(ends)
    scale: AnyScale = (
        log_scale_for(ends, columns, across=True) if log else scale_for(min(ends), max(ends), columns, across=True)
    )
    one = scale.cell(1.0)
    ticks = [(scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
    ticks = [(at, label) for at, label in ticks if at < columns and abs(at - one) > len(label) + 1]
    drawn = tuple(
        (scale.cell(row.low), scale.cell(row.middle), scale.cell(row.high), "accent" if row.clear else "dim")
        for row in rows
    )
    body = _intervals(drawn, one, tuple(sorted([*ticks, (one, "1")])), columns)
    lines: list[Line] = [
        ((f" {pad(row.name, margin)} ", ""), *line, (row.figure.rjust(column), "strong" if row.clear else "dim"))
        for row, line in zip(rows, body, strict=False)
    ]
    return [*lines, *(((" " * (margin + 2), ""), *line) for line in body[len(rows) :])]


@functools.lru_cache(maxsize=4)
def _intervals(
    rows: tuple[tuple[int, int, int, Role], ...], one: int, ticks: tuple[tuple[int, str], ...], columns: int
) -> list[Line]:
    """Draw the intervals, each on its row from the top, with the axis and its labels below."""
    cells: dict[tuple[int, int], tuple[str, Role]] = {(one, y): ("│", "rule") for y in range(len(rows))}
    for y, (low, middle, high, role) in enumerate(reversed(rows)):
        cells |= {(x, y): ("─", role) for x in range(low, high + 1)}
        cells |= {(low, y): ("├", role), (high, y): ("┤", role), (middle, y): ("●", role)}
    marks: list[Mark] = [(x, y, text, role) for (x, y), (text, role) in cells.items()]
    return canvas(marks, columns, len(rows) + 2, rows=len(rows), x_ticks=ticks)
