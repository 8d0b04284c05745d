"""The bar chart: mean, median, min and max of each backend, side by side."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas, canvas_columns
from llmtui.ui.text.format import value_text
from llmtui.ui.text.spans import SERIES, Line, Role, clip, fit, overlay

STATISTICS = ("mean", "median", "min", "max")
#: How each statistic's bar is filled.
FILLS = "█▓▒░"
_THICKEST = 6


@dataclasses.dataclass(frozen=True)
class _Bar:
    """One backend's bars: its index in the plan, its name, and the highest cell of each statistic."""

    index: int
    name: str
    tops: tuple[int, ...]


def draw_bars(chart: ChartData, width: int, height: int) -> list[Line]:
    """Draw the bars with their medians above and their names below."""
    drawn = [(s, s.spread) for s in chart.series if s.spread is not None]
    stats = [[chart.shown(getattr(spread, k)) for k in STATISTICS] for _, spread in drawn]
    every = [v for values in stats for v in values]
    # A row above the highest bar is left for its figure; a bar has at least one.
    scale = chart.scale(every if chart.log else [0.0, *every], height - 2, headroom=1)
    bars = tuple(
        _Bar(series.index, series.name, tuple(scale.cell(value) for value in values))
        for (series, _), values in zip(drawn, stats, strict=True)
    )
    ticks = tuple((scale.at(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True))
    body, middles = bar_body(bars, ticks, scale.cells, width, height)
    lines = list(body)
    columns = canvas_columns(ticks, width)
    group = columns / len(drawn)
    for (_, spread), bar, middle in zip(drawn, bars, middles, strict=True):
        figure = value_text(chart.metric, spread.median, 8)
        above = max(bar.tops) + 1
        if above < scale.cells and len(figure) < group:
            start = width - columns + middle - len(figure) // 2
            row = scale.cells - 1 - above
            lines[row] = overlay(lines[row], start, (figure, "strong"))
    return lines


@functools.lru_cache(maxsize=8)
def bar_body(
    bars: tuple[_Bar, ...], ticks: tuple[Tick, ...], cells: int, width: int, height: int
) -> tuple[tuple[Line, ...], list[int]]:
    """Return the bars without their figures, and the middle column of each backend's.

    Cached: a new frame seldom moves a bar by a cell.
    """
    columns = canvas_columns(ticks, width)
    group = columns / len(bars)
    thick = max(1, min(_THICKEST, int((group - 1) // len(STATISTICS))))
    marks: list[Mark] = []
    middles: list[int] = []
    for at, bar in enumerate(bars):
        left = int(at * group + (group - thick * len(STATISTICS)) / 2)
        middles.append(min(columns - 1, left + thick * len(STATISTICS) // 2))
        role: Role = SERIES[bar.index % len(SERIES)]
        for number, top in enumerate(bar.tops):
            for column in range(left + number * thick, min(columns, left + (number + 1) * thick)):
                marks += [(column, row, FILLS[number], role) for row in range(top + 1)]
    # plotext drops a label that has no room at the edge: it draws the ticks, the names go below them.
    *lines, _ = canvas(marks, width, height, rows=cells, x_ticks=[(middle, " ") for middle in middles], y_ticks=ticks)
    return (*lines, _names(bars, [width - columns + middle for middle in middles], int(group) - 1, width)), middles


def _names(bars: Sequence[_Bar], middles: Sequence[int], room: int, width: int) -> Line:
    """Put each backend's name below the middle of its bars, in at most `room` cells."""
    line = ""
    for bar, middle in zip(bars, middles, strict=True):
        name = clip(bar.name, max(1, room))
        start = max(0, min(middle - cell_len(name) // 2, width - cell_len(name)))
        blank = start - cell_len(line)
        if blank < bool(line):
            # Moved in from the edge, it came too close to the one before.
            blank = int(bool(line))
            name = clip(name, max(1, width - cell_len(line) - blank))
        line += " " * blank + name
    return fit([(line, "dim")], width)
