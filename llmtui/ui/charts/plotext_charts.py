"""The large charts. The only module that imports plotext (for bars and scatter), and only when there is data.

plotext keeps one global figure; `_axes` clears it, and it is drawn and read in one go, so no state outlives a call.
Colours go in as numbers that stand for roles and are read back from the escape codes, so that a theme costs no redraw.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from rich.cells import cell_len

from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Box, Spread
from llmtui.ui.charts.axes import log_scale_for, scale_for
from llmtui.ui.charts.distribution import AnyScale, Cells, axes, box_cells, box_height, ecdf_cells, places, titled_row
from llmtui.ui.charts.sparkline import decimate
from llmtui.ui.text.format import HIDDEN_SIGN, scaled, shape, titled, value_text
from llmtui.ui.text.spans import SERIES, Line, Role, Span, clip, fit, laid_over, pad, width_of

Kind = Literal["bars", "box", "ecdf", "scatter"]
#: The ring of the chart that shows statistics; the other chart is the scatter.
STATISTIC_KINDS: tuple[Kind, ...] = ("bars", "box", "ecdf")
KIND_TITLES: dict[Kind, str] = {"bars": "baseline stats", "box": "box plot", "ecdf": "share of iterations (ECDF)"}
STATISTICS = ("mean", "median", "min", "max")
FILLS = "█▓▒░"
#: 256-colour numbers that stand for roles on their way through plotext.
_FIRST_COLOUR = 20
_ROLES: tuple[Role, ...] = (*SERIES, "accent", "rule", "dim")
_COLOURS: dict[str, Role] = {str(_FIRST_COLOUR + i): role for i, role in enumerate(_ROLES)}
_SGR = re.compile(r"\x1b\[([0-9;]*)m")


@dataclasses.dataclass(frozen=True)
class Series:
    """One backend in a chart: its place in the plan, its name (plain text), and what the kind needs, in s or tokens/s.

    `points` are (place of the iteration from 0 on, value) among `count` iterations; `ordered` are ascending values.
    """

    index: int
    name: str
    spread: Spread | None = None
    points: tuple[tuple[int, float], ...] = ()
    count: int = 0
    ordered: tuple[float, ...] = ()
    box: Box | None = None

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return SERIES[self.index % len(SERIES)]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Everything that a chart shows: two equal ones look the same, so the second need not be drawn."""

    kind: Kind
    metric: MetricKey
    series: tuple[Series, ...]
    planned: int
    log: bool = False
    #: Place in the plan and name of those that are left out.
    hidden: tuple[tuple[int, str], ...] = ()
    ascii_only: bool = False

    @property
    def title(self) -> str:
        """What the chart is, with the unit of its value axis."""
        if self.kind == "scatter":
            what = METRICS[self.metric].title
            unit = METRICS[self.metric].titled.removeprefix(what)
            return f"{what} per iteration{unit}{', log scale' if self.log else ''}"
        return f"{KIND_TITLES[self.kind]}, {self.axis}"

    @property
    def axis(self) -> str:
        """What the value axis says: the metric, its unit, and whether it is logarithmic."""
        return titled(self.metric) + (", log scale" if self.log else "")

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(s.spread is not None for s in self.series)

    def scale(self, values: Sequence[float], cells: int, headroom: int = 0, *, across: bool = False) -> AnyScale:
        """The value axis for these values on so many cells."""
        if self.log:
            return log_scale_for(values, cells, headroom, across=across)
        return scale_for(min(values), max(values), cells, headroom, across=across)


def _parse(text: str, width: int, height: int) -> list[Line]:
    """plotext's coloured text as lines of exactly `width` cells."""
    lines: list[Line] = []
    for raw in text.split("\n")[:height]:
        spans: list[Span] = []
        role: Role = "dim"
        at = 0
        for match in _SGR.finditer(raw):
            if match.start() > at:
                spans.append((raw[at : match.start()], role))
            at = match.end()
            parts = match.group(1).split(";")
            role = _COLOURS.get(parts[2], "dim") if parts[:2] == ["38", "5"] else "dim"
        if at < len(raw):
            spans.append((raw[at:], role))
        lines.append(fit(spans, width))
    return lines + [((" " * width, ""),)] * (height - len(lines))


def _axes(plt: Any, width: int, height: int, cells: int, ticks: Sequence[tuple[float, str]]) -> int:
    """Set up an empty figure whose vertical unit is a row, of `cells`; returns the canvas' columns."""
    plt.clear_figure()
    plt.theme("clear")
    # Otherwise plotext cuts the figure to the terminal that it believes it draws on.
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    plt.xaxes(True, False)
    plt.yaxes(True, False)
    plt.ylim(0, cells - 1)
    plt.yticks([at for at, _ in ticks], [label for _, label in ticks])
    return _canvas(ticks, width)


def _shown(metric: MetricKey, value: float) -> float:
    return scaled(metric, value) or 0.0


@dataclasses.dataclass(frozen=True)
class _Bar:
    """One backend's bars: the highest cell of each statistic, which the picture is made of, and the backend's place."""

    index: int
    name: str
    tops: tuple[int, ...]


def _bars(chart: Chart, width: int, height: int) -> list[Line]:
    drawn = [(s, s.spread) for s in chart.series if s.spread is not None]
    stats = [[_shown(chart.metric, getattr(spread, k)) for k in STATISTICS] for _, spread in drawn]
    every = [v for values in stats for v in values]
    # A row above the highest bar is kept for its figure; a bar has at least one.
    scale = chart.scale(every if chart.log else [0.0, *every], height - 2, headroom=1)
    bars = tuple(
        _Bar(series.index, series.name, tuple(scale.cell(value) for value in values))
        for (series, _), values in zip(drawn, stats, strict=True)
    )
    ticks = tuple((scale.at(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True))
    body, middles = _bar_body(bars, ticks, scale.cells, width, height)
    lines = list(body)
    group = _canvas(ticks, width) / len(drawn)
    for (_, spread), bar, middle in zip(drawn, bars, middles, strict=True):
        figure = value_text(chart.metric, spread.median, 8)
        above = max(bar.tops) + 1
        if above < scale.cells and len(figure) < group:
            start = width - _canvas(ticks, width) + middle - len(figure) // 2
            row = scale.cells - 1 - above
            lines[row] = laid_over(lines[row], start, (figure, "strong"))
    return lines


def _canvas(ticks: Sequence[tuple[float, str]], width: int) -> int:
    """How many columns labels and axis leave."""
    return width - max(len(label) for _, label in ticks) - 1


@functools.lru_cache(maxsize=8)
def _bar_body(
    bars: tuple[_Bar, ...], ticks: tuple[tuple[float, str], ...], cells: int, width: int, height: int
) -> tuple[tuple[Line, ...], list[int]]:
    """The bars without their figures, and the column of the middle of each backend's.

    A frame seldom changes a bar by a cell, so most find theirs drawn.
    """
    import plotext as plt

    columns = _axes(plt, width, height, cells, ticks)
    group = columns / len(bars)
    thick = max(1, min(6, int((group - 1) // len(STATISTICS))))
    xs: list[int] = []
    ys: list[float] = []
    markers: list[str] = []
    colours: list[int] = []
    middles: list[int] = []
    for at, bar in enumerate(bars):
        left = int(at * group + (group - thick * len(STATISTICS)) / 2)
        middles.append(min(columns - 1, left + thick * len(STATISTICS) // 2))
        for number, top in enumerate(bar.tops):
            for column in range(left + number * thick, min(columns, left + (number + 1) * thick)):
                for row in range(top + 1):
                    xs.append(column)
                    ys.append(row)
                    markers.append(FILLS[number])
                    colours.append(_FIRST_COLOUR + bar.index % len(SERIES))
    plt.scatter(xs, ys, marker=markers, color=colours)
    plt.xlim(0, columns - 1)
    # plotext leaves a label out where it has no room at the edge: it draws the ticks, the names stand below them.
    plt.xticks(middles, [" "] * len(middles))
    *lines, _ = _parse(str(plt.build()), width, height)
    return (*lines, _names(bars, [width - columns + middle for middle in middles], int(group) - 1, width)), middles


def _names(bars: Sequence[_Bar], middles: Sequence[int], room: int, width: int) -> Line:
    """Each backend's name below the middle of its bars, in at most `room` cells."""
    line = ""
    for bar, middle in zip(bars, middles, strict=True):
        name = clip(bar.name, max(1, room))
        start = max(0, min(middle - cell_len(name) // 2, width - cell_len(name)))
        blank = start - cell_len(line)
        if blank < bool(line):
            # Moved in from the edge it came too close to the one before.
            blank = int(bool(line))
            name = clip(name, max(1, width - cell_len(line) - blank))
        line += " " * blank + name
    return fit([(line, "dim")], width)


def _scatter(chart: Chart, width: int, height: int) -> str:
    import plotext as plt

    count = max(chart.planned, *(s.count for s in chart.series), 2)
    # Two points a column at most: a frame costs the same at ten iterations and at a million.
    drawn = [
        (s, [(place, _shown(chart.metric, v)) for place, v in decimate(s.points, width, count)]) for s in chart.series
    ]
    scale = chart.scale([v for _, points in drawn for _, v in points] or [0.0, 1.0], height - 2)
    ticks = [(scale.at(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]
    columns = _axes(plt, width, height, scale.cells, ticks)

    def column(place: int) -> int:
        return int((place + 0.5) / count * columns)

    cells: dict[tuple[int, int], list[Series]] = {}
    for series, points in drawn:
        for place, value in points:
            sharers = cells.setdefault((column(place), scale.cell(value)), [])
            if series not in sharers:
                sharers.append(series)
    if cells:
        # Those who share a cell have it in turns, or of two that are equal one would not be seen at all.
        turns = {at: turn for turn, at in enumerate(sorted({x for x, _ in cells}))}
        shown = [(x, y, sharers[turns[x] % len(sharers)]) for (x, y), sharers in cells.items()]
        plt.scatter(
            [x for x, _, _ in shown],
            [y for _, y, _ in shown],
            marker=[shape(series.index, chart.ascii_only) for _, _, series in shown],
            color=[_FIRST_COLOUR + series.index % len(SERIES) for _, _, series in shown],
        )
    plt.xlim(0, columns - 1)
    every = max(1, math.ceil(count / max(1, min(20, columns // 4, columns // (len(str(count)) + 2)))))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if s * 10**p >= every)
    numbers = list(range(step, count + 1, step))
    if step > 1:
        numbers = [1, *numbers]
    plt.xticks([column(n - 1) for n in numbers], [str(n) for n in numbers])
    return str(plt.build())


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A ratio with the ends of its interval; `clear` where it is told from 1, and `figure` as it is written."""

    name: str
    low: float
    middle: float
    high: float
    clear: bool
    figure: str


#: From this ratio of the ends on, ratios stand on a logarithmic axis.
_WIDE = 2.0


def ratios(rows: Sequence[Ratio], width: int, most_name: int) -> list[Line]:
    """A line for each ratio: its name, its interval on an axis on which 1 is marked, its figure; the axis below."""
    margin = min(most_name, width // 3, max(cell_len(row.name) for row in rows))
    column = max(len(row.figure) for row in rows) + 1
    columns = max(8, width - margin - column - 3)
    ends = [1.0, *(end for row in rows for end in (row.low, row.high))]
    log = max(ends) > _WIDE * min(ends)
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
    body = _ratio_body(drawn, one, tuple(sorted([*ticks, (one, "1")])), columns)
    lines: list[Line] = [
        ((f" {pad(row.name, margin)} ", ""), *line, (row.figure.rjust(column), "strong" if row.clear else "dim"))
        for row, line in zip(rows, body, strict=False)
    ]
    return [*lines, *(((" " * (margin + 2), ""), *line) for line in body[len(rows) :])]


@functools.lru_cache(maxsize=4)
def _ratio_body(
    rows: tuple[tuple[int, int, int, Role], ...], one: int, ticks: tuple[tuple[int, str], ...], columns: int
) -> list[Line]:
    """The intervals, each on its row from the top, between cells; the axis and its labels."""
    import plotext as plt

    cells: dict[tuple[int, int], tuple[str, Role]] = {(one, y): ("│", "rule") for y in range(len(rows))}
    for y, (low, middle, high, role) in enumerate(reversed(rows)):
        cells |= {(x, y): ("─", role) for x in range(low, high + 1)}
        cells |= {(low, y): ("├", role), (high, y): ("┤", role), (middle, y): ("●", role)}
    _axes(plt, columns, len(rows) + 2, len(rows), [(0.0, "")])
    plt.yaxes(False, False)
    plt.ylim(-0.5, len(rows) - 0.5)
    plt.scatter(
        [x for x, _ in cells],
        [y for _, y in cells],
        marker=[mark for mark, _ in cells.values()],
        color=[_FIRST_COLOUR + _ROLES.index(role) for _, role in cells.values()],
    )
    plt.xlim(0, columns - 1)
    plt.xticks([at for at, _ in ticks], [label for _, label in ticks])
    return _parse(str(plt.build()), columns, len(rows) + 2)


def _boxes(chart: Chart, width: int, height: int) -> list[Line]:
    drawn = [(s, s.box) for s in chart.series if s.box is not None]
    rows = max(1, height - 2)
    left_out = len(drawn) - (rows - 1) if len(drawn) > rows else 0
    drawn = drawn[: len(drawn) - left_out] or drawn[:1]
    margin = min(width // 4, max(width_of([(s.name, "")]) for s, _ in drawn) + 3)
    figures = [value_text(chart.metric, box.median, 8) for _, box in drawn]
    column = max(map(len, figures)) + 1
    shown = [
        (s, Box(**{f: _box_shown(chart.metric, getattr(box, f)) for f in box.__struct_fields__})) for s, box in drawn
    ]
    ends = [v for _, box in shown for v in (box.low, box.high, *box.below[:1], *box.above[-1:])]
    scale = chart.scale(ends, width - margin - 1 - column, across=True)
    high = box_height(len(shown), rows - bool(left_out))
    cells: Cells = {}
    gutter: list[Line] = [((" " * margin, ""),)] * rows
    middles: list[int] = []
    for top, (series, box) in zip(places(len(shown), rows - bool(left_out), high), shown, strict=True):
        mark = shape(series.index, chart.ascii_only)
        cells |= box_cells(box, scale, top, high, mark, series.role)
        middles.append(top + high // 2)
        gutter[middles[-1]] = fit([(f"{mark} ", series.role), (clip(series.name, margin - 3), "dim")], margin)
    lines = axes(cells, scale, rows, gutter)
    for row, figure in zip(middles, figures, strict=True):
        lines[row] = (*lines[row], (figure.rjust(column), "strong"))
    if left_out and rows > 1:
        words = f"+{left_out} more: no room for {'it' if left_out == 1 else 'them'} here, c shows other charts"
        lines[rows - 1] = fit([(words, "warn")], width)
    return lines


def _box_shown(metric: MetricKey, value: float | tuple[float, ...]) -> Any:
    return tuple(_shown(metric, v) for v in value) if isinstance(value, tuple) else _shown(metric, value)


def _ecdf(chart: Chart, width: int, height: int) -> list[Line]:
    drawn = [(s, [_shown(chart.metric, v) for v in s.ordered]) for s in chart.series if s.ordered]
    rows = max(2, height - 2)
    scale = chart.scale([v for _, values in drawn for v in (values[0], values[-1])], width - 6, across=True)
    shares = (0, 50, 100) if rows < 9 else (0, 25, 50, 75, 100)
    ticked = {rows - 1 - round(share / 100 * (rows - 1)): f"{share} %" for share in shares}
    gutter: list[Line] = [((f"{ticked.get(row, ''):>5}", "dim"),) for row in range(rows)]
    cells: Cells = {}
    for series, values in drawn:
        curve = ecdf_cells(values, scale, rows, shape(series.index, chart.ascii_only), series.role)
        cells = curve | cells
    return axes(cells, scale, rows, gutter, list(ticked))


def legend(chart: Chart, width: int) -> tuple[Line, list[tuple[int, int, int]]]:
    """What the marks mean, and which cells `[start, end)` stand for which backend (its place in the plan)."""
    spans: list[Span] = []
    spots: list[tuple[int, int, int]] = []
    if chart.kind == "bars":
        for fill, word in zip(FILLS, STATISTICS, strict=True):
            spans += [(f"{fill * 2} ", "strong"), (f"{word}   ", "dim")]
        if width >= 50:
            spans.append(("(figure: median)", "dim"))
    elif chart.kind == "box":
        spans += [("├─▒┃▒─┤ ", "strong"), ("quartiles, whiskers to 1.5 IQR   (figure: median)", "dim")]
        if width_of(spans) > width:
            spans = [("├─▒┃▒─┤ ", "strong"), ("quartiles, whiskers to 1.5 IQR", "dim")]
    else:
        entries = [(s.index, s.name, True) for s in chart.series if s.spread is not None]
        entries = sorted([*entries, *((index, name, False) for index, name in chart.hidden)])
        # Where names have no room, a backend is called by the number of its panel.
        room = (width + 2) // max(1, len(entries)) - 4
        between, gap = (" ", "  ") if room >= 4 else (" ", " ") if room >= 0 else ("", " ")
        for index, name, drawn in entries:
            start = width_of(spans)
            mark: Span = (shape(index, chart.ascii_only), SERIES[index % len(SERIES)]) if drawn else (HIDDEN_SIGN, "")
            told = clip(name, room) if room >= 4 else str(index + 1)
            spans += [mark, (f"{between}{told}", "dim"), (gap, "")]
            spots.append((start, width_of(spans) - len(gap), index))
        spans = spans[:-1]
    blank = max(0, (width - width_of(spans)) // 2)
    spots = [(start + blank, end + blank, index) for start, end, index in spots]
    return fit([(" " * blank, ""), *spans], width), spots


def draw(chart: Chart, width: int, height: int) -> list[Line]:
    """The chart in exactly `width` by `height` cells, legend included; words where there is nothing to draw yet."""
    if not chart.drawable or width < 16 or height < 6:
        hint = "iterations appear here as they complete" if chart.series else "every backend is hidden: x shows it"
        if width < 16 or height < 6:
            hint = "no room"
        blank: list[Line] = [((" " * width, ""),)] * height
        if height:
            text = clip(hint, width)
            blank[height // 2] = fit([(" " * ((width - len(text)) // 2), ""), (text, "dim")], width)
        return blank
    key, _ = legend(chart, width)
    match chart.kind:
        case "bars":
            return [*_bars(chart, width, height - 1), key]
        case "scatter":
            body = _parse(_scatter(chart, width, height - 2), width, height - 2)
            return [*body, titled_row("iteration", width), key]
        case "box":
            body = _boxes(chart, width, height - 2)
        case "ecdf":
            body = _ecdf(chart, width, height - 2)
    return [*(fit(line, width) for line in body), titled_row(chart.axis, width), key]
