"""The scatter chart: every iteration's value, in the order of the iterations.

While an iteration has enough columns, the backends' shapes are side by side in them. Then each sample is a dot of
braille. With more than two samples a column, a backend has a mark at the median of a stretch of iterations and a line
from their 10th to their 90th percentile. The caption says which.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from llmtui.stats.summary import far_out, percentile
from llmtui.ui.charts.axes import LEAST_SPAN, AnyScale
from llmtui.ui.charts.chart_data import ChartData, Series
from llmtui.ui.charts.plotext_canvas import Mark, Tick, canvas_columns, laid_over_axes
from llmtui.ui.charts.slots import places_of, stroke
from llmtui.ui.charts.sparkline import bands, bit_of, cell_of
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import Line

_MOST_TICKS = 20
#: About the columns that the labels of the value axis take.
_LABELS = 6
#: The first length of a growing horizontal axis, and its lengths within a power of ten: at most a third is empty.
_SHORTEST = 20
_LENGTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
#: A scale leaves out outliers if it needs only this share of its length without them.
_CROWDED = 0.5
#: At most this share of the samples, or one, is left out.
_OUTLIERS = 0.05

#: The index of an iteration and a value on the axis.
Point = tuple[int, float]


@dataclasses.dataclass(frozen=True)
class _Range:
    """The values that the axis shows; samples outside are at its edge, `below` and `above` it."""

    low: float
    high: float
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()


def draw_scatter(chart: ChartData, width: int, height: int) -> tuple[list[Line], str]:
    """Draw the points with both axes in `height` lines. Return them with the caption of the horizontal axis."""
    drawn = [s for s in (_within(s, chart.window) for s in chart.series) if s.points]
    columns = width - _LABELS
    count = _shown_count(chart, max(1, len(drawn)), columns)
    rows = height - 2
    if count > 2 * columns or any(s.stretches for s in drawn):
        return _draw_bands(chart, drawn, count, width, rows)
    points = [[(index, chart.shown(value)) for index, value in s.points] for s in drawn]
    span = _range_of(points, chart.log)
    scale = chart.scale([span.low, span.high], rows)
    ticks = _ticks_of(scale)
    columns = canvas_columns(ticks, width)
    # Backends of similar values get different columns; those that have to share one are far apart.
    by_value = sorted(range(len(drawn)), key=lambda n: percentile(sorted(v for _, v in points[n]), 0.5))
    ranks = {n: rank for rank, n in enumerate(by_value)}
    samples = _Samples(drawn, points, ranks, scale, count, columns, chart.ascii_only)
    marks = _shapes(samples)
    words = short = ""
    if marks is None:
        marks = _dots(samples)
        words = "a dot each"
        if any(role == "strong" for *_, role in marks):
            words, short = "a dot each, white where backends meet", "white: several"
    beyond = _beyond_words(chart, span)
    captions = ((chart.word, beyond, words), (chart.word, beyond, short), (beyond, short), (beyond,))
    caption = next((text for parts in captions if len(text := ", ".join(filter(None, parts))) <= width), "")
    return _lines(chart, marks, width, rows, scale, ticks, count), caption


def _within(series: Series, window: tuple[int, int] | None) -> Series:
    """A backend's points in the window, counted from its start."""
    if window is None:
        return series
    start, end = window
    points = tuple((index - start, value) for index, value in series.points if start <= index < end)
    stretches = tuple((index - start, values) for index, values in series.stretches if start <= index < end)
    return dataclasses.replace(series, points=points, stretches=stretches)


def _lines(
    chart: ChartData,
    marks: Sequence[Mark],
    width: int,
    rows: int,
    scale: AnyScale,
    ticks: Sequence[Tick],
    count: int,
) -> list[Line]:
    """The canvas with its axes; blank rows above if the value axis does not need all."""
    columns = canvas_columns(ticks, width)
    first = chart.window[0] if chart.window else 0
    x_ticks = [
        (int((number - first - 0.5) / count * columns), str(number)) for number in _labelled(first, count, columns)
    ]
    body = laid_over_axes(marks, width, scale.cells + 2, rows=scale.cells, x_ticks=x_ticks, y_ticks=ticks)
    blank: Line = ((" " * width, ""),)
    return [blank] * (rows - scale.cells) + body


def _ticks_of(scale: AnyScale) -> list[Tick]:
    return [(scale.cell(tick), label) for tick, label in zip(scale.ticks, scale.labels, strict=True)]


def _shown_count(chart: ChartData, backends: int, columns: int) -> int:
    """How many iterations the horizontal axis has: all that are planned, or fewer while a long run is young."""
    if chart.window is not None:
        return max(2, chart.window[1] - chart.window[0])
    measured = max((s.count for s in chart.series), default=0)
    planned = max(chart.planned, measured, 2)
    if planned * -(-backends // 2) <= columns or measured >= planned:
        return planned
    least = max(measured, _SHORTEST)
    power = 10.0 ** (len(str(least)) - 1)
    lengths = (math.ceil(step * size) for size in (power, 10 * power) for step in _LENGTHS)
    return min(planned, next(length for length in lengths if length >= least))


# --- The range of the values ---


def _range_of(points: Sequence[Sequence[Point]], log: bool) -> _Range:
    """The range of all values, without a few outliers that would take most of the axis."""
    every = sorted(value for series in points for _, value in series)
    if not every:
        return _Range(0.0, 1.0)
    low, high = every[0], every[-1]
    if log:
        return _Range(low, high)
    inside: list[float] = []
    for series in points:
        ordered = sorted(value for _, value in series)
        least, most = far_out(ordered)
        inside += [value for value in ordered if least <= value <= most]
    if not inside or len(every) - len(inside) > max(1, _OUTLIERS * len(every)):
        return _Range(low, high)
    near_low, near_high = min(inside), max(inside)
    # The side with the further outlier first: without it the other one may have its place.
    for _ in range(2):
        length = max(near_high - near_low, LEAST_SPAN * near_high)
        if near_low - low >= high - near_high and length < _CROWDED * (high - low):
            low = near_low
        elif length < _CROWDED * (high - low):
            high = near_high
    return _Range(low, high, tuple(v for v in every if v < low), tuple(v for v in every if v > high))


def _beyond_words(chart: ChartData, span: _Range) -> str:
    """What is outside the axis: "↓ 1 below: 0.2"."""
    factor = chart.shown(1.0)
    words = []
    for sign, side, values in (("↑", "above", span.above[::-1]), ("↓", "below", span.below)):
        if values:
            figure = chart.figure(values[0] / factor)
            words.append(f"{sign} {len(values)} {side}: {'' if len(values) == 1 else 'to '}{figure}")
    return ", ".join(words)


# --- A mark for each sample ---


@dataclasses.dataclass(frozen=True)
class _Samples:
    """What is drawn, and where: the points of each backend, its rank by its median, the axes, and the columns."""

    drawn: Sequence[Series]
    points: Sequence[Sequence[Point]]
    ranks: dict[int, int]
    scale: AnyScale
    count: int
    columns: int
    ascii_only: bool

    def places(self, series: int, index: int, columns: int) -> tuple[int, ...]:
        """The columns of an iteration, of `columns` in all, the ones to try first for this backend in front."""
        return places_of(index, series, self.ranks[series], len(self.drawn), self.count, columns)


def _shapes(samples: _Samples) -> list[Mark] | None:
    """The backend's shape for each sample, all in their iteration's columns; None if two would share a cell."""
    scale = samples.scale
    if samples.columns < samples.count:
        return None
    cells: dict[tuple[int, int], Mark] = {}
    for n, series in enumerate(samples.drawn):
        mark = shape(series.index, samples.ascii_only)
        for index, value in samples.points[n]:
            row = scale.cell(value)
            sign = _edge_sign(scale, value) or mark
            for x in samples.places(n, index, samples.columns):
                if (x, row) not in cells:
                    cells[x, row] = (x, row, sign, series.role)
                    break
            else:
                return None
    return list(cells.values())


def _dots(samples: _Samples) -> list[Mark]:
    """A dot of braille for each sample; a cell with dots of several backends has no backend's colour."""
    scale, drawn = samples.scale, samples.drawn
    bits: dict[tuple[int, int], int] = {}
    owners: dict[tuple[int, int], set[int]] = {}
    signs: dict[tuple[int, int], Mark] = {}
    for n, series in enumerate(samples.drawn):
        for index, value in samples.points[n]:
            places = samples.places(n, index, 2 * samples.columns)
            if sign := _edge_sign(scale, value):
                at = (places[0] // 2, scale.cell(value))
                signs[at] = (*at, sign, series.role)
                continue
            row, dot = divmod(min(4 * scale.cells - 1, max(0, round(4 * scale.at(value) + 1.5))), 4)
            for x in places:
                bit = bit_of(x, 3 - dot, "braille")
                if not bits.get((x // 2, row), 0) & bit or x == places[-1]:
                    bits[x // 2, row] = bits.get((x // 2, row), 0) | bit
                    owners.setdefault((x // 2, row), set()).add(n)
                    break
    marks: list[Mark] = []
    for (x, row), bit in bits.items():
        sharing = owners[x, row]
        role = drawn[next(iter(sharing))].role if len(sharing) == 1 else "strong"
        text = cell_of(bit, "braille")
        if samples.ascii_only:
            text = shape(drawn[min(sharing)].index, True) if len(sharing) == 1 else ":"
        marks.append((x, row, text, role))
    return marks + list(signs.values())


def _edge_sign(scale: AnyScale, value: float) -> str:
    """The sign of a sample that is outside the axis."""
    at = scale.at(value)
    return "↓" if at < -0.5 else "↑" if at > scale.cells - 0.5 else ""


# --- Bands ---


def _draw_bands(chart: ChartData, drawn: Sequence[Series], count: int, width: int, rows: int) -> tuple[list[Line], str]:
    """Draw the median and the 10th to 90th percentile of stretches of iterations, each backend in its own columns."""
    columns = width - _LABELS
    slots = max(1, columns // (len(drawn) + 1))
    if chart.window is not None:
        # A stretch is not divided.
        slots = max(1, min([slots, *(len(s.stretches) for s in drawn if s.stretches)]))
    stretches = [
        [(slot, chart.shown(low), chart.shown(middle), chart.shown(high)) for slot, low, middle, high in found]
        for found in (bands(s.points, s.stretches, slots, count) for s in drawn)
    ]
    ends = [value for series in stretches for _, low, _, high in series for value in (low, high)]
    scale = chart.scale(ends or [0.0, 1.0], rows)
    ticks = _ticks_of(scale)
    columns = canvas_columns(ticks, width)
    marks: list[Mark] = []
    for n, series in enumerate(drawn):
        for slot, low, middle, high in stretches[n]:
            places = places_of(slot, n, n, len(drawn), slots, columns)
            row = scale.cell(middle)
            for at, text in stroke(scale.at(low), scale.at(high)):
                if at != row:
                    marks.append((places[0], at, text, series.role))
            marks.append((places[0], row, shape(series.index, chart.ascii_only), series.role))
    size = -(-count // slots)
    words = f"{chart.word}, in stretches of {size}: mark at the median, line from p10 to p90"
    short = f"{chart.word}: median, line from p10 to p90"
    return _lines(chart, marks, width, rows, scale, ticks, count), words if len(words) <= width else short


def _labelled(first: int, count: int, columns: int) -> list[int]:
    """Which of `count` iterations after the `first` ones have a label on the axis."""
    most = min(_MOST_TICKS, columns // 4, columns // (len(str(first + count)) + 2))
    every = max(1, math.ceil(count / max(1, most)))
    step = next(s * 10**p for p in range(9) for s in (1, 2, 5) if s * 10**p >= every)
    numbers = list(range(first - first % step + step, first + count + 1, step))
    return [first + 1, *(number for number in numbers if number > first + step / 2)] if step > 1 else numbers
