"""The large charts. The only module that imports plotext (for bars and scatter), and only when there is data.

plotext keeps one global figure; `_build` clears it, draws and reads it in one go, so no state outlives a call. Colours
go in as numbers that stand for roles and are read back from the escape codes, so that a theme costs no redraw.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from llmtui.stats.summary import METRIC_TITLES, Box, Metric, Spread
from llmtui.ui.lines import SERIES, Line, Role, Span, clip, fit, width_of
from llmtui.ui.minis import decimate
from llmtui.ui.plots import AnyScale, Cells, axes, box_cells, box_height, ecdf_cells, places, titled_row
from llmtui.ui.scales import log_scale_for, scale_for
from llmtui.ui.words import HIDDEN_SIGN, scaled, shape, titled, value_text

Kind = Literal["bars", "box", "ecdf", "scatter"]
#: The ring of the chart that shows statistics; the other chart is the scatter.
STATISTIC_KINDS: tuple[Kind, ...] = ("bars", "box", "ecdf")
KIND_TITLES: dict[Kind, str] = {"bars": "baseline stats", "box": "box plot", "ecdf": "share of iterations (ECDF)"}
STATISTICS = ("mean", "median", "min", "max")
FILLS = "█▓▒░"
#: 256-colour numbers that stand for roles on their way through plotext.
_FIRST_COLOUR = 20
_COLOURS: dict[str, Role] = {str(_FIRST_COLOUR + i): role for i, role in enumerate(SERIES)}
_TEXT_COLOUR = _FIRST_COLOUR + len(SERIES)
_COLOURS[str(_TEXT_COLOUR)] = "strong"
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
    metric: Metric
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
            what, unit = METRIC_TITLES[self.metric], titled(self.metric)[len(METRIC_TITLES[self.metric]) :]
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


def _axes(plt: Any, width: int, height: int, scale: AnyScale) -> int:
    """Set up an empty figure whose vertical unit is a row; returns the canvas' columns."""
    plt.clear_figure()
    plt.theme("clear")
    # Otherwise plotext cuts the figure to the terminal that it believes it draws on.
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    plt.xaxes(True, False)
    plt.yaxes(True, False)
    plt.ylim(0, scale.cells - 1)
    plt.yticks([scale.at(tick) for tick in scale.ticks], scale.labels)
    return width - max(map(len, scale.labels)) - 1


def _shown(metric: Metric, value: float) -> float:
    return scaled(metric, value) or 0.0


def _bars(chart: Chart, width: int, height: int) -> str:
    import plotext as plt

    drawn = [(s, s.spread) for s in chart.series if s.spread is not None]
    stats = [[_shown(chart.metric, getattr(spread, k)) for k in STATISTICS] for _, spread in drawn]
    every = [v for values in stats for v in values]
    # A row above the highest bar is kept for its figure; a bar has at least one.
    scale = chart.scale(every if chart.log else [0.0, *every], height - 2, headroom=1)
    columns = _axes(plt, width, height, scale)
    group = columns / len(drawn)
    thick = max(1, min(6, int((group - 1) // len(STATISTICS))))
    xs: list[int] = []
    ys: list[float] = []
    markers: list[str] = []
    colours: list[int] = []
    middles: list[int] = []
    for at, ((series, spread), values) in enumerate(zip(drawn, stats, strict=True)):
        left = int(at * group + (group - thick * len(STATISTICS)) / 2)
        place = min(columns - 1, left + thick * len(STATISTICS) // 2)
        middles.append(place)
        for number, value in enumerate(values):
            for column in range(left + number * thick, min(columns, left + (number + 1) * thick)):
                for row in range(scale.cell(value) + 1):
                    xs.append(column)
                    ys.append(row)
                    markers.append(FILLS[number])
                    colours.append(_FIRST_COLOUR + series.index % len(SERIES))
        figure = value_text(chart.metric, spread.median, 8)
        above = scale.cell(max(values)) + 1
        if above < scale.cells and len(figure) < group:
            plt.text(figure, x=place, y=above, alignment="center", color=_TEXT_COLOUR)
    plt.scatter(xs, ys, marker=markers, color=colours)
    plt.xlim(0, columns - 1)
    room = max(1, int(group) - 1)
    plt.xticks(middles, [clip(s.name, room) for s, _ in drawn])
    return str(plt.build())


def _scatter(chart: Chart, width: int, height: int) -> str:
    import plotext as plt

    count = max(chart.planned, *(s.count for s in chart.series), 2)
    # Two points a column at most: a frame costs the same at ten iterations and at a million.
    drawn = [
        (s, [(place, _shown(chart.metric, v)) for place, v in decimate(s.points, width, count)]) for s in chart.series
    ]
    scale = chart.scale([v for _, points in drawn for _, v in points] or [0.0, 1.0], height - 2)
    columns = _axes(plt, width, height, scale)
    for series, points in drawn:
        if points:
            plt.scatter(
                [place + 1 for place, _ in points],
                [scale.at(v) for _, v in points],
                marker=shape(series.index, chart.ascii_only),
                color=_FIRST_COLOUR + series.index % len(SERIES),
            )
    plt.xlim(0.5, count + 0.5)
    every = max(1, math.ceil(count / max(1, min(20, columns // 4, columns // (len(str(count)) + 2)))))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if s * 10**p >= every)
    ticks = list(range(step, count + 1, step))
    if step > 1:
        ticks = [1, *ticks]
    plt.xticks(ticks, [str(t) for t in ticks])
    return str(plt.build())


def _boxes(chart: Chart, width: int, height: int) -> list[Line]:
    drawn = [(s, s.box) for s in chart.series if s.box is not None]
    rows = max(1, height - 2)
    drawn = drawn[:rows]
    margin = min(width // 4, max(width_of([(s.name, "")]) for s, _ in drawn) + 3)
    figures = [value_text(chart.metric, box.median, 8) for _, box in drawn]
    column = max(map(len, figures)) + 1
    shown = [
        (s, Box(**{f: _box_shown(chart.metric, getattr(box, f)) for f in box.__struct_fields__})) for s, box in drawn
    ]
    ends = [v for _, box in shown for v in (box.low, box.high, *box.below[:1], *box.above[-1:])]
    scale = chart.scale(ends, width - margin - 1 - column, across=True)
    high = box_height(len(shown), rows)
    cells: Cells = {}
    gutter: list[Line] = [((" " * margin, ""),)] * rows
    middles: list[int] = []
    for top, (series, box) in zip(places(len(shown), rows, high), shown, strict=True):
        mark = shape(series.index, chart.ascii_only)
        cells |= box_cells(box, scale, top, high, mark, series.role)
        middles.append(top + high // 2)
        gutter[middles[-1]] = fit([(f"{mark} ", series.role), (clip(series.name, margin - 3), "dim")], margin)
    lines = axes(cells, scale, rows, gutter)
    for row, figure in zip(middles, figures, strict=True):
        lines[row] = (*lines[row], (figure.rjust(column), "strong"))
    return lines


def _box_shown(metric: Metric, value: float | tuple[float, ...]) -> Any:
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
        room = max(4, (width - 4 * len(entries)) // max(1, len(entries)))
        for index, name, drawn in entries:
            start = width_of(spans)
            mark: Span = (shape(index, chart.ascii_only), SERIES[index % len(SERIES)]) if drawn else (HIDDEN_SIGN, "")
            spans += [mark, (f" {clip(name, room)}  ", "dim")]
            spots.append((start, width_of(spans) - 1, index))
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
            return [*_parse(_bars(chart, width, height - 1), width, height - 1), key]
        case "scatter":
            body = _parse(_scatter(chart, width, height - 2), width, height - 2)
            return [*body, titled_row("iteration", width), key]
        case "box":
            body = _boxes(chart, width, height - 2)
        case "ecdf":
            body = _ecdf(chart, width, height - 2)
    return [*(fit(line, width) for line in body), titled_row(chart.axis, width), key]
