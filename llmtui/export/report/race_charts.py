"""The charts of a race: bars of mean, median, min and max with intervals, and each iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmtui.export.report.axes import Axis, axis_of, spread_out
from llmtui.export.report.plot import HEIGHT, Point, Series, Ticks, draw, plot_axis_room
from llmtui.export.report.svg import (
    LETTER,
    WIDTH,
    drawing,
    figure,
    label,
    line,
    mark,
    number,
    series_class,
)
from llmtui.runview.run import RunView
from llmtui.stats.intervals import MEAN_FROM, MEDIAN_FROM
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, fit_name
from llmtui.text.format import plural, scale_of

_BAR = 14.0
_ROW = 19.0
_HEAD = 20.0
#: More iterations of a backend than these are thinned to the smallest and the largest of each stretch.
_MOST_POINTS = 500


class Bar(NamedTuple):
    """A value of the backend at the place `backend`, in the unit of the axis, with the ends of its interval.

    `text` is the value as text.
    """

    backend: int
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    text: str = ""


def race_charts(run_view: RunView) -> list[str]:
    """Return the figures of a race with results: by the metric that counts, then others of the usual ones."""
    counting = run_view.plan.config.metric
    figures = [bars_of(run_view, counting, ("mean", "median", "min", "max")), scatter(run_view, counting)]
    others: tuple[MetricKey, ...] = ("latency", "ttft", "tokens_per_s")
    figures += [bars_of(run_view, metric, ("median",)) for metric in others if metric != counting]
    return [each for each in figures if each]


def bars_of(run_view: RunView, metric: MetricKey, statistics: Sequence[str]) -> str:
    """Return the bars of these statistics on one axis from 0; "" if no backend has the metric."""
    spreads = {name: view.summary.spread(metric) for name, view in run_view.backends.items()}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    if not known:
        return ""
    scale = scale_of([spread.median for spread in known.values()], METRICS[metric].unit)
    estimates, groups = run_view.estimates(metric), list[tuple[str, list[Bar]]]()
    fewest = min(spread.n for spread in known.values())
    for statistic in statistics:
        bars = []
        for index, name in enumerate(run_view.backends):
            if name in known:
                interval = getattr(estimates.get(name), f"{statistic}_interval", None) or (None, None)
                value: float = getattr(known[name], statistic)
                low, high = (end * scale.factor if end is not None else None for end in interval)
                bars.append(Bar(index, name, value * scale.factor, low, high, scale.text(value)))
        groups.append((statistic, bars))
    title = METRICS[metric].titled(scale.unit)
    what = f"{', '.join(statistics)} of {title}" if len(statistics) > 1 else f"{statistics[0]} {title}"
    better = "longer" if METRICS[metric].higher_is_better else "shorter"
    drawn = any(bar.low is not None for _, bars in groups for bar in bars)
    notes = [f"A {better} bar is better. All begin at 0."]
    if drawn:
        notes.append("Lines on the bars are 95% intervals.")
    if fewest < MEAN_FROM:
        least = f"a median needs {MEDIAN_FROM} iterations, a mean {MEAN_FROM}"
        notes.append(f"Intervals are missing where there are too few samples: {least}.")
    return figure(what, bars_drawing(groups, scale.unit, what), " ".join(notes))


def bars_drawing(groups: Sequence[tuple[str, list[Bar]]], unit: str, words: str) -> str:
    """Return the drawing of bars in groups with titles, below one another, on one axis in `unit`."""
    every = [bar for _, bars in groups for bar in bars]
    names = {bar.backend: fit_name(sanitize(bar.name, 200), 22) for bar in every}
    left = max(60.0, 26 + LETTER * max(map(cells_wide, names.values())))
    right = WIDTH - 12 - LETTER * max(len(bar.text) for bar in every)
    tops = [bar.value for bar in every] + [bar.high for bar in every if bar.high is not None]
    axis = axis_of(tops, left, right, most=5)
    parts, y = list[str](), 0.0
    for title, bars in groups:
        if len(groups) > 1:
            parts.append(label(0, y + 13, title, "group"))
            y += _HEAD
        for bar in bars:
            parts.append(_bar(bar, axis, y, names[bar.backend]))
            y += _ROW
        y += 6 if len(groups) > 1 else 0
    grid = []
    for tick in axis.ticks:
        x = axis.at(tick)
        grid.append(line([(x, 0), (x, y)], "base" if tick == axis.low else "grid"))
        grid.append(label(x, y + 14, axis.text(tick), "tick", "middle"))
    grid.append(label(0, y + 14, unit, "axis"))
    return drawing(y + 20, "".join([*grid, *parts]), words)


def _bar(bar: Bar, axis: Axis, y: float, name: str) -> str:
    end, middle, colour = axis.at(bar.value), y + _BAR / 2 + 1, series_class(bar.backend)
    parts = [
        mark(bar.backend, [(6, middle)]),
        label(15, middle + 4, name, "name"),
        f'<rect class="bar {colour}" x="{number(axis.start)}" y="{number(y + 1)}"'
        f' width="{number(max(0.5, end - axis.start))}" height="{number(_BAR)}"/>',
    ]
    if bar.low is not None and bar.high is not None:
        low, high = axis.at(bar.low), axis.at(bar.high)
        parts.append(line([(low, middle), (high, middle)], "on-bar"))
        parts += [line([(x, middle - 4), (x, middle + 4)], "on-bar") for x in (low, high)]
        end = max(end, high)
    return "".join([*parts, label(end + 6, middle + 4, bar.text, "value")])


def scatter(run_view: RunView, metric: MetricKey) -> str:
    """Return each measured iteration of the current attempts; "" without any."""
    values: dict[str, list[tuple[int, float]]] = {}
    failed = 0
    for name, view in run_view.backends.items():
        of_backend = []
        for place, iteration in enumerate(view.measured, 1):
            failed += not iteration.ok
            if iteration.ok and (value := METRICS[metric].counted(iteration)) is not None:
                of_backend.append((place, value))
        values[name] = of_backend
    every = [value for of_backend in values.values() for _, value in of_backend]
    if not every:
        return ""
    scale = scale_of(every, METRICS[metric].unit)
    log = spread_out(every)
    down = axis_of([value * scale.factor for value in every], HEIGHT, 8, zero=False, log=log)
    start, end = plot_axis_room([down.text(tick) for tick in down.ticks])
    last = max(place for of_backend in values.values() for place, _ in of_backend)
    across = axis_of([1, last], start, end, most=8)._replace(low=0.0, high=last + 0.5)
    whole = [tick for tick in across.ticks if tick == int(tick) and 0 < tick <= last]
    ticks = Ticks(tuple((tick, f"{tick:.0f}") for tick in whole) or ((1.0, "1"),), "iteration")
    series, thinned = [], False
    for index, (name, of_backend) in enumerate(values.items()):
        shown = _thinned(of_backend)
        thinned = thinned or len(shown) < len(of_backend)
        if shown:
            drawn = tuple(Point(place, value * scale.factor) for place, value in shown)
            series.append(Series(index, name, drawn, joined=False))
    notes = []
    if down.low > 0 and not log:
        notes.append("The axis does not begin at 0.")
    if failed:
        notes.append(f"{plural(failed, 'failed iteration')} {'is' if failed == 1 else 'are'} not drawn.")
    if thinned:
        notes.append("Of each stretch of iterations the smallest and the largest value are drawn.")
    title = f"{METRICS[metric].titled(scale.unit)} of each iteration{', log scale' if log else ''}"
    return draw(title, series, down, across, ticks, unit=scale.unit, note=" ".join(notes))


def _thinned(values: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `_MOST_POINTS` values: of each stretch the smallest and the largest."""
    if len(values) <= _MOST_POINTS:
        return list(values)
    size = -(-2 * len(values) // _MOST_POINTS)
    kept = set[tuple[int, float]]()
    for first in range(0, len(values), size):
        stretch = values[first : first + size]
        kept |= {min(stretch, key=lambda each: each[1]), max(stretch, key=lambda each: each[1])}
    return sorted(kept)
