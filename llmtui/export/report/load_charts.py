"""The charts of a load: throughput, percentiles and objectives against its levels, and what one stream gets of it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence

from llmtui.export.report.axes import Axis, axis_of, spread_out
from llmtui.export.report.plot import HEIGHT, Point, Series, Strip, Ticks, draw, plot_axis_room
from llmtui.model import Level
from llmtui.model.turn import Percentiles, Quantity
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.objective_words import OBJECTIVE_TITLES, attained_text, limit_text, share_text
from llmtui.runview.run import RunView
from llmtui.runview.search import found_of, has_search, sentence_of
from llmtui.stats.intervals import MEDIAN_FROM, TAIL_FROM, median_interval
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import percentile
from llmtui.text import sanitize
from llmtui.text.format import Scale, figure, scale_of, unit_of

#: How far the backends of a level are apart, as a share of the distance of two levels.
_APART = 0.12


def load_charts(run_view: RunView) -> list[str]:
    """Return the figures of a load with turns."""
    levels = ordered_levels(run_view)
    limits = run_view.plan.slo.limits
    counting = run_view.plan.config.metric
    metrics: list[MetricKey] = ["output_tokens_per_s"]
    metrics += [counting] if counting not in ("output_tokens_per_s", "ttft") else []
    figures = [rates(run_view, levels, metric) for metric in metrics]
    figures.append(percentiles(run_view, levels, "ttft"))
    figures += [percentiles(run_view, levels, name) for name in ("latency", "tpot") if name in limits]
    figures += [attainment(run_view, levels)] if limits else []
    figures.append(pareto(run_view, levels))
    return [each for each in figures if each]


def ordered_levels(run_view: RunView) -> list[Level]:
    """Return the levels that are shown in ascending order; of a grid those of one length after another."""
    return sorted(run_view.levels_shown, key=_place_of)


def _place_of(level: Level) -> tuple[float, ...]:
    return level.prompt_tokens, level.max_tokens, level.rate, level.streams


def _counted(levels: Sequence[Level]) -> str:
    """What the axis of the levels counts."""
    if levels[0].open:
        what = "requests sent per second" if not levels[0].trace else "trace"
    else:
        what = f"{'users' if levels[0].users else 'streams'} (levels, evenly spaced)"
    return f"{what}, with the tokens of prompt and answer" if any(level.short_cell for level in levels) else what


def across_levels(levels: Sequence[Level], labels: Sequence[str]) -> tuple[Axis, Ticks]:
    """Return the axis of the levels beside these labels of the value axis, and its ticks."""
    start, end = plot_axis_room(labels)
    places = tuple((float(n), level.short_title) for n, level in enumerate(levels))
    return Axis(-0.5, len(levels) - 0.5, start, end, ()), Ticks(places, _counted(levels))


def _shift(index: int, count: int) -> float:
    """How far a backend's marks are beside the place of their level, so that intervals do not hide one another."""
    return (index - (count - 1) / 2) * min(_APART, 0.6 / max(1, count))


def at_levels(
    run_view: RunView, levels: Sequence[Level], of: Callable[[BackendView, Level], Point | None]
) -> list[Series]:
    """Return the points of each backend, which `of` makes; their `x` becomes the place of the level."""
    series, count = [], len(run_view.backends)
    for index, (name, view) in enumerate(run_view.backends.items()):
        points = []
        for place, level in enumerate(levels):
            if (point := of(view, level)) is not None:
                tip = f"{sanitize(name, 60)}, {level.title}: {point.tip}"
                points.append(point._replace(x=place + _shift(index, count), line=level.short_cell, tip=tip))
        if points:
            series.append(Series(index, name, tuple(points)))
    return series


def drawn_values(series: Sequence[Series]) -> list[float]:
    """Return all that is drawn of these series: values, and the ends of their intervals."""
    return [v for one in series for p in one.points for v in (p.y, p.low, p.high) if v is not None]


def _scaled(series: Sequence[Series], factor: float) -> list[Series]:
    def scaled(point: Point) -> Point:
        low, high = (None if end is None else end * factor for end in (point.low, point.high))
        return point._replace(y=point.y * factor, low=low, high=high)

    return [one._replace(points=tuple(map(scaled, one.points))) for one in series]


def rates(run_view: RunView, levels: Sequence[Level], metric: MetricKey) -> str:
    """Return the median over the turns of a metric at each level, with its 95% interval; "" without any."""

    def of(view: BackendView, level: Level) -> Point | None:
        ordered = view.at(level.number).figures.ordered(metric)
        if not ordered:
            return None
        median, interval = percentile(ordered, 0.5), median_interval(ordered)
        text = figure(median, METRICS[metric].unit)
        if interval is not None:
            text += f" (95%: {' to '.join(figure(end, METRICS[metric].unit) for end in interval)})"
        low, high = interval or (None, None)
        return Point(0, median, low, high, tip=f"{text}, n = {len(ordered)}")

    series = at_levels(run_view, levels, of)
    if not series:
        return ""
    scale = scale_of([p.y for one in series for p in one.points], METRICS[metric].unit)
    series = _scaled(series, scale.factor)
    log = not METRICS[metric].higher_is_better and spread_out(drawn_values(series))
    down = axis_of(drawn_values(series), HEIGHT, 8, log=log)
    across, ticks = across_levels(levels, [down.text(tick) for tick in down.ticks])
    few = any(p.low is None for one in series for p in one.points)
    notes = ["Median over the turns of a level; vertical lines are its 95% interval."]
    if few:
        notes.append(f"An interval needs {MEDIAN_FROM} turns: where it is missing, how sure a median is, is unknown.")
    strips, strip_title = _found(run_view, levels) if metric == "output_tokens_per_s" else ([], "")
    title = f"{METRICS[metric].titled(scale.unit)} against load, 95%{', log scale' if log else ''}"
    return draw(
        title,
        series,
        down,
        across,
        ticks,
        unit=scale.unit,
        note=" ".join(notes),
        strips=strips,
        strip_title=strip_title,
    )


def _found(run_view: RunView, levels: Sequence[Level]) -> tuple[list[Strip], str]:
    """What was found of each backend, as intervals on the axis of the levels, and their title."""
    if not has_search(run_view) or any(level.open for level in levels):
        return [], ""
    streams = [level.streams for level in levels]
    strips = []
    for index, name in enumerate(run_view.backends):
        found = found_of(run_view, name)
        tip = sentence_of(run_view, found)
        if (knee := found.knee) is not None:
            ends = (knee.low, knee.high) if knee.reached else (knee.low, streams[-1])
            at = _place(streams, knee.streams) if knee.reached else None
            strips.append(Strip(index, at, _place(streams, ends[0]), _place(streams, ends[1]), tip))
        elif (most := found.most) is not None and most.kept:
            kept, last = _place(streams, most.kept), most.undecided[1] if most.undecided else most.kept
            strips.append(Strip(index, kept, kept, _place(streams, last), tip))
    if run_view.plan.load.search == "slo":
        return strips, "most streams within the objectives; the line reaches to where it is undecided"
    return strips, "knee with its 95% interval; an arrow: beyond the last level"


def _place(streams: Sequence[int], count: int) -> float:
    """Return the place of a number of streams among the levels, between two of them by its logarithm."""
    after = bisect.bisect_left(streams, count)
    if after == len(streams):
        return len(streams) - 1.0
    if after == 0 or streams[after] == count:
        return float(after)
    low, high = streams[after - 1], streams[after]
    return after - 1 + math.log(count / low) / math.log(high / low)


def percentiles(run_view: RunView, levels: Sequence[Level], quantity: Quantity) -> str:
    """Return p50 and p95 of the requests at each level, with the objective; "" without any."""

    def found(figures: LevelFigures) -> Percentiles | None:
        of: Percentiles | None = getattr(figures, quantity)
        return of

    def point(share: str) -> Callable[[BackendView, Level], Point | None]:
        def of(view: BackendView, level: Level) -> Point | None:
            pooled = found(view.at_level(level.number))
            value: float | None = getattr(pooled, share) if pooled is not None else None
            if pooled is None or value is None:
                return None
            return Point(0, value, tip=f"{title} {share} {figure(value, 's')}, n = {pooled.n}")

        return of

    title = {str(key): words for key, words in OBJECTIVE_TITLES.items()}.get(quantity, quantity)
    halves = at_levels(run_view, levels, point("p50"))
    tails = [one._replace(second=True) for one in at_levels(run_view, levels, point("p95"))]
    if not halves:
        return ""
    limit = {str(name): value for name, value in run_view.plan.slo.limits.items()}.get(quantity)
    values = [*drawn_values(halves), *drawn_values(tails), *([limit] if limit is not None else [])]
    unit = unit_of(values, "s")
    factor = Scale(unit, 0).factor
    log = spread_out(values)
    down = axis_of([value * factor for value in values], HEIGHT, 8, log=log)
    across, ticks = across_levels(levels, [down.text(tick) for tick in down.ticks])
    notes = ["Filled marks are p50, hollow ones p95, of all requests of a level."]
    if sum(len(one.points) for one in tails) < sum(len(one.points) for one in halves):
        notes.append(f"A p95 needs {TAIL_FROM} requests.")
    return draw(
        f"{title} p50 and p95 in {unit} against load{', log scale' if log else ''}",
        [*_scaled(tails, factor), *_scaled(halves, factor)],
        down,
        across,
        ticks,
        unit=unit,
        note=" ".join(notes),
        limit=(limit * factor, f"objective {limit_text(limit)}") if limit is not None else None,
    )


def attainment(run_view: RunView, levels: Sequence[Level]) -> str:
    """Return the share of the requests at each level that kept all objectives; "" without any."""

    def of(view: BackendView, level: Level) -> Point | None:
        figures = view.at_level(level.number)
        share, interval = figures.attainment, figures.attainment_interval
        if share is None:
            return None
        ends = f" (95%: {' to '.join(map(attained_text, interval))})" if interval is not None else ""
        low, high = interval or (None, None)
        return Point(0, share, low, high, tip=f"{attained_text(share)} within the objectives{ends}")

    series = _scaled(at_levels(run_view, levels, of), 100)
    if not series:
        return ""
    down = axis_of([0, 100], HEIGHT, 8)
    across, ticks = across_levels(levels, [down.text(tick) for tick in down.ticks])
    asked = run_view.plan.slo.share
    note = "Vertical lines are 95% intervals over the turns. A request without an answer has missed them."
    wanted = (100 * asked, f"{share_text(asked)} should")
    return draw(
        "Requests within the objectives in % against load", series, down, across, ticks, unit="%", note=note,
        limit=wanted,
    )  # fmt: skip


def pareto(run_view: RunView, levels: Sequence[Level]) -> str:
    """Return what all streams get against what one gets, a point a level; "" without any."""
    closed = not levels[0].open
    series = []
    for index, (name, view) in enumerate(run_view.backends.items()):
        points = []
        for level in levels:
            figures = view.at(level.number).figures
            total, alone = figures.ordered("output_tokens_per_s"), figures.ordered("tokens_per_s")
            if not total or not (closed or alone):
                continue
            y = percentile(total, 0.5)
            x = y / level.streams if closed else percentile(alone, 0.5)
            tip = f"{sanitize(name, 60)}, {level.title}: {figure(y, 'tokens/s')} in all, {figure(x, 'tokens/s')} each"
            points.append(Point(x, y, tip=tip, line=level.short_cell, name=level.short_title))
        if points:
            # Names of the ends are enough to follow the line.
            inner = [point._replace(name="") for point in points[1:-1]]
            series.append(Series(index, name, (points[0], *inner, *points[1:][-1:])))
    if not series:
        return ""
    across_values = [p.x for one in series for p in one.points]
    down = axis_of([p.y for one in series for p in one.points], HEIGHT, 8)
    start, end = plot_axis_room([down.text(tick) for tick in down.ticks])
    across = axis_of(across_values, start, end, log=spread_out(across_values))
    one = "a stream (its share of all)" if closed else "an answer (its decode speed)"
    log = ", log scale" if across.log else ""
    ticks = Ticks(tuple((tick, across.text(tick)) for tick in across.ticks), f"tokens/s of {one}{log}")
    ends = f"{levels[0].short_title} to {levels[-1].short_title}"
    note = f"A mark is a level ({ends}); the first and the last have their names. Up and to the right is better."
    return draw("Output tokens/s of all against those of one", series, down, across, ticks, unit="tok/s", note=note)
