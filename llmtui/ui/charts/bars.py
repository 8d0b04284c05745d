"""The bar chart: a wide bar for the median of each backend, and three narrow ones for min, mean and max.

Bars have eighths of a row. They begin in the middle of the row of the horizontal axis, where its line is and where 0 is
on the value axis, and end at the height of their value. On a logarithmic axis, on which lengths mean nothing, each
statistic is a point. The median of an earlier run is a thin dotted line to the left of the backend's bars.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.ui.charts.axes import AnyScale, Scale
from llmtui.ui.charts.chart_data import ChartData, Series
from llmtui.ui.charts.legend import SHORTEST_NAME, are_distinct
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas, canvas_columns
from llmtui.ui.text.spans import Line, Role, clip_name, fit, overlay

#: The statistics from left to right.
STATISTICS = ("median", "min", "mean", "max")
#: No block, and the blocks of one to seven eighths of a row.
_EIGHTHS = " ▁▂▃▄▅▆▇"
#: What stands on the line of the horizontal axis: nothing, a value near 0, and the upper half of that row.
_ON_AXIS = ("", "━", "━", "▀", "▀")
#: Points at the four heights of a row, from below, and thinner ones: the medians of an earlier run.
_POINTS = "⣀⠤⠒⠉"
_THIN = "⡀⠄⠂⠁"
#: On fewer columns, the median of an earlier run is left out, or its line is short.
_GHOST_FROM, _GHOST_WIDE_FROM = 3, 10
_WIDEST, _WIDEST_NARROW = 8, 3
#: With fewer rows, none is left free for the figures.
_FIGURES_FROM = 6


@dataclasses.dataclass(frozen=True)
class _Bar:
    """A bar (or a point) of `width` columns from `column` on: `full` rows above the axis, and a glyph in row `top`."""

    column: int
    width: int
    role: Role
    full: int
    top: int
    glyph: str
    on_axis: str


def draw_bars(chart: ChartData, width: int, height: int) -> tuple[list[Line], bool, bool]:
    """Draw the bars with their medians above and their names below.

    Return also whether all statistics have room, and whether the medians of an earlier run have.
    """
    drawn = [(s, s.spread) for s in chart.series if s.spread is not None]
    stats = [[chart.shown(getattr(spread, k)) for k in STATISTICS] for _, spread in drawn]
    earlier = [None if s.earlier is None else chart.shown(s.earlier) for s, _ in drawn]
    values = [v for row in stats for v in row] + [v for v in earlier if v is not None]
    # Below the rows are the horizontal axis, in whose row the linear value axis begins, and the names.
    rows = height - 2
    room = rows - (rows >= _FIGURES_FROM)
    scale = chart.scale(values, room if chart.log else room + 1, zero=True)
    ticks = tuple((scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True))
    columns = canvas_columns(ticks, width)
    beside = ghost_width(columns / len(drawn)) if chart.against else 0
    groups = group_columns(len(drawn), columns, beside)
    bars = [_bars_of(s, scale, spans, values) for (s, _), spans, values in zip(drawn, groups, stats, strict=True)]
    body = tuple((bar.column, bar.width, bar.full, bar.role) for group in bars for bar in group)
    lines: list[Line] = list(bar_body(body, ticks, scale.cells if chart.log else scale.cells - 1, chart.log, width))
    blank: Line = ((" " * width, ""),)
    lines = [blank] * (rows + 1 - len(lines)) + lines
    margin = width - columns
    tops: dict[int, int] = {}
    for bar in (bar for group in bars for bar in group):
        if bar.glyph.strip():
            _put(lines, bar.top, margin + bar.column, bar.glyph * bar.width, bar.role)
        if bar.on_axis:
            _put(lines, -1, margin + bar.column, bar.on_axis * bar.width, bar.role)
        tops |= dict.fromkeys(range(bar.column, bar.column + bar.width), bar.top if bar.glyph.strip() else bar.top - 1)
    for value, group in zip(earlier, bars, strict=True):
        if value is not None and beside:
            row, dot = divmod(round(4 * (scale.at(value) - isinstance(scale, Scale)) + 1.5), 4)
            start = group[0].column - beside
            _put(lines, row, margin + start, _THIN[dot] * beside, "dim")
            tops |= dict.fromkeys(range(start, start + beside), row)
    for (_, spread), group in zip(drawn, bars, strict=True):
        _put_figure(lines, chart.figure(spread.median), group[0], tops, margin)
    middles = [margin + group[0].column + (group[-1].column + group[-1].width - group[0].column) // 2 for group in bars]
    room = int(columns / len(drawn)) - 1
    named = room >= SHORTEST_NAME and are_distinct([s.name for s, _ in drawn], room)
    texts = [s.name if named else str(s.index + 1) for s, _ in drawn]
    names = _names(texts, middles, room, width)
    return [*lines, names], len(groups[0]) == len(STATISTICS), beside > 0


def ghost_width(room: float) -> int:
    """The columns for the median of an earlier run among the `room` of a backend."""
    return 0 if room < _GHOST_FROM else 1 if room < _GHOST_WIDE_FROM else 2


def group_columns(count: int, columns: int, beside: int = 0) -> list[list[tuple[int, int]]]:
    """The first column and the width of each bar of `count` backends; only the median's if four have no room.

    `beside` columns on the left of each backend stay free.
    """
    room = columns / count - beside
    several = room >= len(STATISTICS)
    narrow = max(1, min(_WIDEST_NARROW, int((room - 1) // 8)))
    gap = 2 if room >= 8 else 1 if room >= 5 or (not several and room >= 2) else 0
    wide = max(1, min(_WIDEST, int(room) - gap - 3 * narrow * several))
    groups = []
    for at in range(count):
        start = int(at * (room + beside) + (room - wide - 3 * narrow * several) / 2) + beside
        groups.append([(start, wide), *((start + wide + n * narrow, narrow) for n in range(3 * several))])
    return groups


def _bars_of(series: Series, scale: AnyScale, spans: Sequence[tuple[int, int]], values: Sequence[float]) -> list[_Bar]:
    """The bars of one backend, median and mean in its colour and the ends in its tint."""
    roles = (series.role, series.tint, series.role, series.tint)
    bars = []
    for (column, width), role, value in zip(spans, roles, values, strict=False):
        if isinstance(scale, Scale):
            full, top, glyph, on_axis = _bar(scale.at(value))
        else:
            row, dot = divmod(round(4 * scale.at(value) + 1.5), 4)
            full, top, glyph, on_axis = 0, row, _POINTS[dot], ""
        bars.append(_Bar(column, width, role, full, top, glyph, on_axis))
    return bars


def _bar(at: float) -> tuple[int, int, str, str]:
    """A bar up to `at` cells above the axis: its whole rows, its topmost row, and the glyphs there and on the axis."""
    eighths = max(0, round(8 * at))
    if eighths < len(_ON_AXIS):
        return 0, 0, " ", _ON_AXIS[eighths]
    full, rest = divmod(eighths - 4, 8)
    return full, full, _EIGHTHS[rest], _ON_AXIS[-1]


def _put(lines: list[Line], row: int, start: int, text: str, role: Role) -> None:
    """Put text into a row above the horizontal axis, which is the last of `lines` (row -1)."""
    lines[len(lines) - 2 - row] = overlay(lines[len(lines) - 2 - row], start, (text, role))


def _put_figure(lines: list[Line], figure: str, bar: _Bar, tops: dict[int, int], margin: int) -> None:
    """Put the figure on top of the bar that it names, unless it would be among other bars or figures."""
    row = tops[bar.column] + 1
    size = len(figure)
    for start in (bar.column + (bar.width - size) // 2, bar.column + bar.width - size, bar.column):
        taken = [tops.get(column, -1) >= row for column in range(start - 1, start + size + 1)]
        if start >= 0 and margin + start + size <= _width(lines) and row < len(lines) - 1 and not any(taken):
            _put(lines, row, margin + start, figure, "strong")
            tops |= dict.fromkeys(range(start, start + size), row)
            return


def _width(lines: Sequence[Line]) -> int:
    return sum(len(text) for text, _ in lines[0])


@functools.lru_cache(maxsize=8)
def bar_body(
    bars: tuple[tuple[int, int, int, Role], ...], ticks: tuple[Tick, ...], rows: int, log: bool, width: int
) -> tuple[Line, ...]:
    """The whole rows of the bars (column, width, rows, role), the value axis, and the line below.

    Cached: a new frame seldom moves a bar by a row.
    """
    marks: list[Mark] = [
        (x, row, "█", role) for column, wide, full, role in bars for x in range(column, column + wide)
        for row in range(full)
    ]  # fmt: skip
    if log:
        return tuple(canvas(marks, width, rows + 1, rows=rows, x_ticks=[], y_ticks=ticks))
    # The axis begins in the row of the line, where plotext has no ticks.
    (_, zero), *above = ticks
    margin = width - canvas_columns(ticks, width)
    raised = [(at - 1, label.rjust(margin - 1)) for at, label in above]
    *lines, base = canvas(marks, width, rows + 1, rows=rows, x_ticks=[], y_ticks=raised)
    return (*lines, overlay(base, 0, (zero.rjust(margin - 1) + "┼", "dim")))


def _names(names: Sequence[str], middles: Sequence[int], room: int, width: int) -> Line:
    """Put each backend's name below the middle of its bars, in at most `room` cells."""
    line = ""
    for name, middle in zip(names, middles, strict=True):
        name = clip_name(name, max(1, room))
        start = max(0, min(middle - cell_len(name) // 2, width - cell_len(name)))
        blank = start - cell_len(line)
        if blank < bool(line):
            # Moved in from the edge, it came too close to the one before.
            blank = int(bool(line))
            name = clip_name(name, max(1, width - cell_len(line) - blank))
        line += " " * blank + name
    return fit([(line, "dim")], width)
