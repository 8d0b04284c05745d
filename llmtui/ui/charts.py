"""The two large charts, drawn by plotext: the only module that imports it, and only when the first chart has data.

plotext keeps one global figure; `_build` clears it, draws and reads it in one go, so no state outlives a call. Colours
go in as numbers that stand for roles and are read back from the escape codes, so that a theme costs no redraw.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from llmtui.stats.summary import METRIC_TITLES, Metric, Spread
from llmtui.ui.lines import SERIES, Line, Role, Span, clip, fit, width_of
from llmtui.ui.minis import decimate
from llmtui.ui.words import decimals, scaled, shape, titled, value_text

Kind = Literal["bars", "scatter"]
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
    """One backend in the charts: its place in the plan, its name (plain text), its values in the metric's unit."""

    index: int
    name: str
    values: tuple[float | None, ...] = ()
    spread: Spread | None = None

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
    ascii_only: bool = False

    @property
    def title(self) -> str:
        """What the chart is, with the unit of its value axis."""
        if self.kind == "bars":
            return f"baseline stats, {titled(self.metric)}"
        return f"{METRIC_TITLES[self.metric]} per iteration" + titled(self.metric)[len(METRIC_TITLES[self.metric]) :]

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(s.spread is not None for s in self.series)


@dataclasses.dataclass(frozen=True)
class Scale:
    """A value axis whose ticks fall exactly on rows: `low` at row 0, `high` at the last, a tick every `every` rows."""

    low: float
    step: float
    every: int
    rows: int

    @property
    def per_row(self) -> float:
        """What one row is worth."""
        return self.step / self.every

    @property
    def high(self) -> float:
        """The value of the topmost row."""
        return self.low + self.per_row * (self.rows - 1)

    @property
    def ticks(self) -> list[float]:
        """The values that are labelled."""
        return [self.low + i * self.step for i in range((self.rows - 1) // self.every + 1)]

    @property
    def labels(self) -> list[str]:
        """The ticks as text, with just the decimals that the step needs."""
        digits = next((d for d in range(6) if abs(round(self.step, d) - self.step) < self.step * 1e-6), 6)
        return [f"{t:.{digits}f}" for t in self.ticks]

    def row(self, value: float) -> int:
        """The row of a value, the lowest being 0."""
        return min(self.rows - 1, max(0, round((value - self.low) / self.per_row)))


#: Steps of the value axis within a power of ten; the odd ones only where they fit clearly tighter.
_STEPS = ((1.0, 1.0), (1.5, 1.15), (2.0, 1.0), (2.5, 1.05), (3.0, 1.15), (4.0, 1.1), (5.0, 1.0))


def scale_for(low: float, high: float, rows: int, headroom: int = 0) -> Scale:
    """The tightest scale with round ticks that shows `low` to `high` on so many rows, `headroom` of them kept above.

    It starts at zero unless the values are so close together that zero would leave most rows empty.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= 0:
        low, high = 0.0, 1.0
    if low < 0.6 * high:
        low = 0.0
    span = max(high - low, high * 1e-3)
    power = math.floor(math.log10(span)) - 1
    best: tuple[float, Scale] | None = None
    for every in range(2, 6) if rows >= 8 else range(1, 4):
        for exponent in (power - 1, power, power + 1):
            for factor, penalty in _STEPS:
                step = factor * 10.0**exponent
                scale = Scale(math.floor(low / step + 1e-9) * step, step, every, rows)
                if (high - scale.low) / scale.per_row + headroom > rows - 0.6:
                    continue
                cost = (scale.high - scale.low) * penalty
                if best is None or cost < best[0]:
                    best = (cost, scale)
    return best[1] if best else Scale(0.0, high, max(1, rows - 1), rows)


def _finite(values: Sequence[float | None], metric: Metric) -> list[float | None]:
    # plotext raises on inf; a NaN would be drawn nowhere and only cost.
    shown = (scaled(metric, v) for v in values)
    return [v if v is not None and math.isfinite(v) else None for v in shown]


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


def _axes(plt: Any, width: int, height: int, low: float, high: float, headroom: int = 0) -> tuple[int, Scale]:
    """Set up an empty figure; returns the canvas' columns and its value axis."""
    plt.clear_figure()
    plt.theme("clear")
    # Otherwise plotext cuts the figure to the terminal that it believes it draws on.
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    plt.xaxes(True, False)
    plt.yaxes(True, False)
    scale = scale_for(low, high, height - 2, headroom)
    plt.ylim(scale.low, scale.high)
    plt.yticks(scale.ticks, scale.labels)
    return width - max(map(len, scale.labels)) - 1, scale


def _bars(chart: Chart, width: int, height: int) -> str:
    import plotext as plt

    shown = [s for s in chart.series if s.spread is not None]
    stats = [[v or 0.0 for v in _finite([getattr(s.spread, k) for k in STATISTICS], chart.metric)] for s in shown]
    # A row above the highest bar is kept for its figure.
    highest = max(max(values) for values in stats)
    columns, scale = _axes(plt, width, height, 0.0, highest, headroom=1)
    group = columns / len(shown)
    thick = max(1, min(6, int((group - 1) // len(STATISTICS))))
    xs: list[int] = []
    ys: list[float] = []
    markers: list[str] = []
    colours: list[int] = []
    places: list[int] = []
    for at, (series, values) in enumerate(zip(shown, stats, strict=True)):
        left = int(at * group + (group - thick * len(STATISTICS)) / 2)
        place = min(columns - 1, left + thick * len(STATISTICS) // 2)
        places.append(place)
        for number, value in enumerate(values):
            for column in range(left + number * thick, min(columns, left + (number + 1) * thick)):
                for row in range(scale.row(value) + 1):
                    xs.append(column)
                    ys.append(row * scale.per_row)
                    markers.append(FILLS[number])
                    colours.append(_FIRST_COLOUR + series.index % len(SERIES))
        figure = value_text(chart.metric, series.spread.median if series.spread else None, 8)
        above = scale.row(max(values)) + 1
        if above < scale.rows and len(figure) < group:
            plt.text(figure, x=place, y=above * scale.per_row, alignment="center", color=_TEXT_COLOUR)
    plt.scatter(xs, ys, marker=markers, color=colours)
    plt.xlim(0, columns - 1)
    room = max(1, int(group) - 1)
    plt.xticks(places, [clip(s.name, room) for s in shown])
    return str(plt.build())


def _scatter(chart: Chart, width: int, height: int) -> str:
    import plotext as plt

    shown = [(s, _finite(s.values, chart.metric)) for s in chart.series]
    known = [v for _, values in shown for v in values if v is not None]
    columns, _ = _axes(plt, width, height - 1, min(known, default=0.0), max(known, default=1.0))
    count = max(chart.planned, *(len(values) for _, values in shown), 2)
    for series, values in shown:
        # At most two points a column: a frame costs the same at ten iterations and at a million.
        points = decimate(values, columns)
        if points:
            plt.scatter(
                [i + 1 for i, _ in points],
                [v for _, v in points],
                marker=shape(series.index, chart.ascii_only),
                color=_FIRST_COLOUR + series.index % len(SERIES),
            )
    plt.xlim(0.5, count + 0.5)
    every = max(1, math.ceil(count / max(1, min(20, columns // 4))))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if s * 10**p >= every)
    ticks = list(range(step, count + 1, step))
    if step > 1:
        ticks = [1, *ticks]
    plt.xticks(ticks, [str(t) for t in ticks])
    return str(plt.build())


def legend(chart: Chart, width: int) -> Line:
    """What the marks mean: fills of the statistics, or the shapes of the backends."""
    spans: list[Span] = []
    if chart.kind == "bars":
        for fill, word in zip(FILLS, STATISTICS, strict=True):
            spans += [(f"{fill * 2} ", "strong"), (f"{word}   ", "dim")]
        if width >= 50:
            spans.append(("(figure: median)", "dim"))
    else:
        shown = [s for s in chart.series if s.spread is not None]
        room = max(4, (width - 4 * len(shown)) // max(1, len(shown)))
        for series in shown:
            name = clip(series.name, room)
            spans += [(f"{shape(series.index, chart.ascii_only)} ", series.role), (f"{name}  ", "dim")]
    blank = max(0, (width - width_of(spans)) // 2)
    return fit([(" " * blank, ""), *spans], width)


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
    if chart.kind == "bars":
        body = _parse(_bars(chart, width, height - 1), width, height - 1)
    else:
        body = _parse(_scatter(chart, width, height - 1), width, height - 2)
        word = "iteration"
        body.append(fit([(" " * ((width - len(word)) // 2), ""), (word, "dim")], width))
    return [*body, legend(chart, width)]


def chart_of(kind: Kind, metric: Metric, series: Sequence[Series], planned: int, *, ascii_only: bool) -> Chart:
    """A chart whose values carry no more digits than can be seen, so that noise below that causes no redraw."""
    digits = decimals(metric) + 3
    rounded = tuple(
        dataclasses.replace(s, values=tuple(round(v, digits) if v is not None else None for v in s.values))
        for s in series
    )
    return Chart(kind, metric, rounded, planned, ascii_only)
