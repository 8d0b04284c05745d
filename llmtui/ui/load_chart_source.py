"""What the charts over the levels of a load show now, and the one of its newest turn, from the state of the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from llmtui.model import Level
from llmtui.runview.backend import BackendView
from llmtui.stats.metrics import MetricKey
from llmtui.stats.summary import percentile
from llmtui.ui.charts.axes import LOG_FROM, one_stands_apart
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.load_chart_data import (
    HeatChart,
    HeatRow,
    LevelPoint,
    LevelsChart,
    LevelSeries,
    LoadChart,
    ParetoChart,
    ParetoPoint,
    ParetoSeries,
    TurnChart,
    TurnSoFar,
)
from llmtui.ui.found_marks import found_marks
from llmtui.ui.level_labels import level_labels
from llmtui.ui.text.format import name_text
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.attempts import shown_attempt

#: The newest turns among which one tells how many tokens an arrival carries.
_NEWEST = 200


def load_chart(view: ViewState, kind: Kind) -> LoadChart:
    """Return what a chart of a load shows now: the backends that are not hidden."""
    match kind:
        case "pareto":
            return _pareto(view)
        case "turn":
            return _turn(view)
        case "heat":
            return _heat(view)
        case "ttft":
            return _ttft(view)
    return _against_load(view)


def _levels(view: ViewState) -> list[Level]:
    """The levels in ascending order."""
    return sorted(view.run_view.levels_shown, key=lambda level: (level.rate, level.streams))


def _shown(view: ViewState, levels: Sequence[Level]) -> int | None:
    """The place of the level that the rest of the screen shows."""
    level = view.level
    return next((n for n, each in enumerate(levels) if level is not None and each.number == level.number), None)


def _hidden(view: ViewState) -> tuple[tuple[int, str], ...]:
    names = enumerate(view.run_view.backends)
    return tuple((n, name_text(name)) for n, name in names if name in view.hidden)


def _name(backend_view: BackendView) -> str:
    shown = shown_attempt(backend_view)
    return name_text(backend_view.backend.name) + (f" #{shown.attempt}" if shown.earlier else "")


def _log(view: ViewState, by_default: bool) -> bool:
    return by_default if view.forced_log is None else view.forced_log


#: The newest series of each backend, by what they are of, each with what it follows from.
_SERIES: WeakKeyDictionary[BackendView, dict[str, tuple[object, Any]]] = WeakKeyDictionary()

_T = TypeVar("_T")


def _kept(backend_view: BackendView, of: str, levels: Sequence[Level], make: Callable[[int], _T], *also: object) -> _T:
    """What `make` returns for the shown attempt of a backend, as long as it has no other turns, levels or `also`.

    A frame of many levels and backends would else compute all of their points again for each new turn.
    """
    attempt = shown_attempt(backend_view).attempt
    grown = (len(backend_view.turns), len(backend_view.iterations))
    key = (attempt, *grown, tuple(level.number for level in levels), *also)
    series = _SERIES.setdefault(backend_view, {})
    if of not in series or series[of][0] != key:
        series[of] = (key, make(attempt))
    found: _T = series[of][1]
    return found


# --- Against the load ---


def _against_load(view: ViewState) -> LevelsChart:
    levels = _levels(view)
    series = tuple(_level_series(index, one, levels, view.metric) for index, one in view.drawn)
    best = [max(point.value for point in one.points) for one in series if one.points]
    # Values that grow with the load belong to one curve; a backend that is far from the others does not.
    by_default = one_stands_apart(best) or (view.metric in _GROWING and _spread_out(series))
    return _of_levels(view, "load", view.metric, levels, series, by_default, _so_far(view, levels, view.metric))


#: Durations, which grow without bounds with the load. Rates do not.
_GROWING: tuple[MetricKey, ...] = ("latency", "ttft", "itl", "tpot")


def _spread_out(series: Sequence[LevelSeries]) -> bool:
    values = [point.value for one in series for point in one.points if point.value > 0]
    return bool(values) and max(values) >= LOG_FROM * min(values)


def _level_series(index: int, one: BackendView, levels: Sequence[Level], metric: MetricKey) -> LevelSeries:
    def make(attempt: int) -> LevelSeries:
        return LevelSeries(index, _name(one), _points(one, levels, metric, attempt))

    return _kept(one, "load", levels, make, index, metric)


def _points(
    backend_view: BackendView, levels: Sequence[Level], metric: MetricKey, attempt: int
) -> tuple[LevelPoint, ...]:
    """The median of the turns at each level, with its 95% interval. All levels are of one attempt."""
    from llmtui.stats.intervals import median_interval

    points = []
    for place, level in enumerate(levels):
        ordered = backend_view.at(level.number).attempt(attempt).ordered(metric)
        if ordered:
            low, high = median_interval(ordered) or (None, None)
            points.append(LevelPoint(place, percentile(ordered, 0.5), low, high, len(ordered)))
    return tuple(points)


def _ttft(view: ViewState) -> LevelsChart:
    levels = _levels(view)
    series = tuple(_ttft_series(index, one, levels) for index, one in view.drawn)
    return _of_levels(view, "ttft", "ttft", levels, series, _spread_out(series), None)


def _ttft_series(index: int, one: BackendView, levels: Sequence[Level]) -> LevelSeries:
    def make(attempt: int) -> LevelSeries:
        found = [(place, one.at_level(level.number, attempt).ttft) for place, level in enumerate(levels)]
        points = tuple(LevelPoint(place, of.p50, None, of.p95, of.n) for place, of in found if of is not None)
        return LevelSeries(index, _name(one), points)

    return _kept(one, "ttft", levels, make, index)


def _of_levels(
    view: ViewState,
    kind: Kind,
    metric: MetricKey,
    levels: Sequence[Level],
    series: tuple[LevelSeries, ...],
    log_by_default: bool,
    so_far: TurnSoFar | None,
) -> LevelsChart:
    plan = view.run_view.plan
    limits: dict[str, float] = {str(key): limit for key, limit in plan.slo.limits.items()}
    if limits:
        limits["attainment"] = plan.slo.share
    named = level_labels(levels)
    return LevelsChart(
        "ttft" if kind == "ttft" else "load",
        metric,
        named.labels,
        named.counted,
        _shown(view, levels),
        series,
        groups=named.groups,
        log=_log(view, log_by_default),
        log_by_default=log_by_default,
        objective=limits.get(metric),
        so_far=so_far,
        hidden=_hidden(view),
        ascii_only=view.ascii_only,
        reason=_why_empty(view, series),
        for_objectives=plan.load.search == "slo",
        found=found_marks(view, levels) if kind == "load" else (),
    )


def _why_empty(view: ViewState, series: Sequence[LevelSeries | ParetoSeries]) -> str:
    if not series:
        return "all backends are hidden: x shows one"
    if any(one.turns for one in view.run_view.backends.values()) and not any(one.points for one in series):
        tried = any(
            turn.phase == "measured" for one in view.run_view.backends.values() for turn in one.turns[-_NEWEST:]
        )
        return "no turn has this metric: m shows the next one" if tried else "warm-up turns come first"
    return ""


# --- The turn under way ---


def _tokens_per_arrival(backend_view: BackendView, level: int) -> float:
    """How many tokens an arrival carries on average, by the newest turn that says it, at this level if one does."""
    newest = [turn for turn in backend_view.turns[-_NEWEST:] if turn.tokens_per_arrival]
    known = [turn for turn in newest if turn.level == level] or newest
    return (known[-1].tokens_per_arrival or 1.0) if known else 1.0


def _so_far(view: ViewState, levels: Sequence[Level], metric: MetricKey) -> TurnSoFar | None:
    """What the turn under way has given so far, for metrics that are known before its end."""
    course = view.run_view.course
    if course is None or course.so_far is None or course.backend in view.hidden or view.past is not None:
        return None
    place = next((n for n, level in enumerate(levels) if level.number == course.level), None)
    backend_view = view.run_view.backends.get(course.backend)
    if place is None or backend_view is None:
        return None
    so_far = course.so_far
    if metric == "output_tokens_per_s":
        value = so_far.arrivals_per_s * _tokens_per_arrival(backend_view, course.level)
    elif metric == "requests_per_s":
        value = so_far.requests_per_s
    else:
        return None
    index = view.names.index(course.backend)
    name = name_text(course.backend)
    return TurnSoFar(index, name, place, value, so_far.seconds, course.phase == "warmup") if value > 0 else None


def _turn(view: ViewState) -> TurnChart:
    course = view.run_view.course
    backend_view = view.run_view.backends.get(course.backend) if course is not None else None
    if course is None or backend_view is None:
        reason = "a turn appears here second by second"
        if view.past is not None or view.phase == "done":
            reason = "the course of a turn is shown while it runs: it is not stored"
        return TurnChart(0, "", "this turn, a second a column", (), reason=reason, ascii_only=view.ascii_only)
    title = next((level.title for level in view.run_view.plan.levels if level.number == course.level), "")
    which = f"{'warm-up' if course.phase == 'warmup' else 'round'} {course.round}"
    name = name_text(course.backend, 20)
    return TurnChart(
        view.names.index(course.backend),
        name,
        f"{'this' if course.running else 'last'} turn: {name}, {title}, {which}",
        course.columns,
        course.size,
        course.first,
        _tokens_per_arrival(backend_view, course.level),
        reason="the turn has just begun",
        ascii_only=view.ascii_only,
    )


# --- All levels at a glance ---


def _pareto(view: ViewState) -> ParetoChart:
    levels = _levels(view)
    closed = not (levels and levels[0].open)
    series = tuple(_pareto_series(index, one, levels, closed) for index, one in view.drawn)
    by_default = one_stands_apart([max(point.y for point in one.points) for one in series if one.points])
    named = level_labels(levels, whole=True)
    return ParetoChart(
        named.labels,
        named.counted,
        "tokens/s of a stream" if closed else "tokens/s of an answer",
        series,
        log=_log(view, by_default),
        log_by_default=by_default,
        hidden=_hidden(view),
        ascii_only=view.ascii_only,
        reason=_why_empty(view, series),
    )


def _pareto_series(index: int, one: BackendView, levels: Sequence[Level], closed: bool) -> ParetoSeries:
    def make(attempt: int) -> ParetoSeries:
        points = []
        for place, level in enumerate(levels):
            running = one.at(level.number).attempt(attempt)
            total, alone = running.ordered("output_tokens_per_s"), running.ordered("tokens_per_s")
            if not total:
                continue
            y = percentile(total, 0.5)
            x = y / level.streams if closed else percentile(alone, 0.5) if alone else None
            if x is not None:
                points.append(ParetoPoint(place, x, y, level.short_cell))
        return ParetoSeries(index, _name(one), tuple(points))

    return _kept(one, "pareto", levels, make, index)


def _heat(view: ViewState) -> HeatChart:
    """The share of the requests that kept the objectives, or the metric that is shown if there are none."""
    from llmtui.stats.metrics import METRICS

    levels = _levels(view)
    metric = None if view.run_view.plan.slo.limits else view.metric
    rows = tuple(_heat_row(index, one, levels, metric) for index, one in view.drawn if one.turns)
    named = level_labels(levels, whole=True)
    what = "share of requests within the objectives" if metric is None else METRICS[metric].titled()
    return HeatChart(
        f"{what}, backend and {'level' if named.heads else named.counted}",
        named.labels,
        rows,
        metric,
        _shown(view, levels),
        named.counted,
        heads=named.heads,
        reason="" if view.drawn else "all backends are hidden: x shows one",
        ascii_only=view.ascii_only,
    )


def _heat_row(index: int, one: BackendView, levels: Sequence[Level], metric: MetricKey | None) -> HeatRow:
    def make(attempt: int) -> HeatRow:
        values: list[float | None] = []
        for level in levels:
            if metric is None:
                values.append(one.at_level(level.number, attempt).attainment)
            else:
                ordered = one.at(level.number).attempt(attempt).ordered(metric)
                values.append(percentile(ordered, 0.5) if ordered else None)
        return HeatRow(_name(one), tuple(values), index)

    return _kept(one, "heat", levels, make, index, metric)
