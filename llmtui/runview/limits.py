"""`llmtui run --fail-if`: limits on the figures of a run, for CI. `llmtui explain runs` has the rules. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, cast, get_args

from llmtui.config.errors import show, suggestion
from llmtui.model import Level, Plan, Quantity, Struct
from llmtui.model.errors import UsageError
from llmtui.runview.backend import BackendView
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.runview.search_limits import FOUND, check_found, judge_found
from llmtui.stats.buckets import FROM, pooled, type_8, value_of
from llmtui.stats.metrics import ALL_METRICS, Metric
from llmtui.text import sanitize
from llmtui.text.format import Kind, figure, plural

Which = Literal["", "p50", "p90", "p95", "p99", "mean"]

#: The share of the requests without an answer. The metrics have the values of answers only.
FAILED = "failed"
_NAMES = (*ALL_METRICS, FAILED, *FOUND)
_EXPRESSION = re.compile(
    r"\s*([a-z_]+?)(?:_(p50|p90|p95|p99|mean))?\s*(?:@\s*([0-9.]+))?\s*(<=|>=|<|>)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(ms|s|%|j)?\s*"
)
_EXAMPLES = "such as 'ttft_p95>0.2', 'output_tokens_per_s@8<100' or 'attainment<0.95'"
#: What may stand after a number, by what it is.
_SUFFIXES: dict[Kind, tuple[str, ...]] = {"s": ("s", "ms"), "ms": ("s", "ms"), "J/token": ("j",)}
_WORDS = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
#: Their units in a sentence; rates have none.
_UNITS: dict[Kind, str] = {"s": " s", "ms": " s", "J/token": " J/token"}
#: More requests without an answer than this share leave the mean of the others open.
_LOST = 0.01
_TINY = 1e-9


class Limit(Struct, frozen=True):
    """A run fails if a value is `sign` `value` (s, per second, J per token, or a share), at any of the levels with
    these `numbers`, or without numbers at any level.

    `name` is one of ALL_METRICS, "failed", or what a search finds. `which` is the percentile; without one, it is the
    median.
    """

    text: str
    name: str
    which: Which
    numbers: tuple[int, ...]
    sign: str
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value is beyond the limit, so that the run fails."""
        if self.sign.startswith("<"):
            return value < self.value or (self.sign == "<=" and value == self.value)
        return value > self.value or (self.sign == ">=" and value == self.value)

    @property
    def metric(self) -> Metric | None:
        """The metric, None for "failed" and what a search finds."""
        return next((metric for key, metric in ALL_METRICS.items() if key == self.name), None)

    @property
    def found(self) -> bool:
        """Whether it is about what a search finds, in streams."""
        return self.name in FOUND

    @property
    def share(self) -> bool:
        """Whether its value is a share of requests."""
        return self.metric.share if self.metric is not None else not self.found

    def at(self, plan: Plan) -> list[Level]:
        """The levels of a load that it is about."""
        return [level for level in plan.levels if not self.numbers or level.number in self.numbers]

    @property
    def late(self) -> bool:
        """Whether the run fails if answers are late."""
        return self.sign.startswith(">") and self.unit in ("s", "ms")

    @property
    def unit(self) -> Kind:
        """What its value is."""
        return self.metric.unit if self.metric is not None else "share"

    @property
    def quantile(self) -> float:
        """The percentile as a share; 0.5 for a mean."""
        return int(self.which[1:]) / 100 if self.which.startswith("p") else 0.5


class Findings(NamedTuple):
    """What breaks limits, and what the samples leave open, a sentence each."""

    broken: list[str]
    open: list[str]


def parse_limits(texts: Iterable[str], plan: Plan) -> list[Limit]:
    """Return the limits in these expressions. Raises UsageError for one that this plan cannot check."""
    return [_parse(text, plan) for text in texts]


def judge_limits(run_view: RunView, limits: Sequence[Limit]) -> Findings:
    """Return which limits the backends of a finished run break."""
    found = Findings([], [])
    for limit in limits:
        for backend_view in run_view.backends.values():
            for sentence, broken in _judged(run_view, limit, backend_view):
                if sentence:
                    (found.broken if broken else found.open).append(f"{sentence} (--fail-if {limit.text!r})")
    return found


def _judged(run_view: RunView, limit: Limit, backend_view: BackendView) -> list[tuple[str, bool]]:
    """What to say of a backend, and whether the limit is broken: of a load at each level."""
    if limit.found:
        return [judge_found(run_view, limit, backend_view.backend.name, _limit_words(limit))]
    if not run_view.plan.levels:
        return [_judge(limit, backend_view, None)]
    levels = limit.at(run_view.plan)
    if run_view.plan.load.search:
        # A search measures some of its levels, of each backend others.
        measured = [level for level in levels if level.number in backend_view.levels_with_turns]
        if not measured:
            at = f" at {levels[0].title}" if limit.numbers else ""
            return [(f"{sanitize(backend_view.backend.name, 40)}{at}: not measured", False)]
        levels = measured
    return [_judge(limit, backend_view, level) for level in levels]


def _parse(text: str, plan: Plan) -> Limit:
    match = _EXPRESSION.fullmatch(text.lower())
    if match is None:
        raise UsageError(
            f"--fail-if: expected METRIC, a sign and a number, {_EXAMPLES}, got {show(text)}; a metric may end in "
            "_p50, _p90, _p95, _p99 or _mean"
        )
    name, which, at, sign, number, unit = match.groups()
    where = f"--fail-if {show(text)}"
    if name not in _NAMES:
        raise UsageError(f"{where}: unknown metric {show(name)}{suggestion(name, _NAMES)}")
    try:
        value = float(number) / {"ms": 1000, "%": 100}.get(unit or "", 1)
    except ValueError:
        raise UsageError(f"{where}: expected a number, got {show(number)}") from None
    limit = Limit(text.strip(), name, cast("Which", which or ""), _numbers(at, plan, where), sign, value)
    _check(limit, unit or "", plan, where)
    return limit


def _numbers(at: str | None, plan: Plan, where: str) -> tuple[int, ...]:
    """The numbers of the levels whose streams or rate were given: of a grid all its cells of that size."""
    if at is None:
        return ()
    if not plan.levels:
        raise UsageError(f"{where}: @{at} is a level of a load, and this is a race; leave it out")
    sizes: dict[str, tuple[int, ...]] = {}
    for level in plan.levels:
        size = f"{level.rate or level.streams:g}"
        sizes[size] = (*sizes.get(size, ()), level.number)
    if (found := sizes.get(_plain(at))) is None:
        raise UsageError(f"{where}: this load has no level @{at}{suggestion(at, [f'@{size}' for size in sizes])}")
    return found


def _plain(number: str) -> str:
    try:
        return f"{float(number):g}"
    except ValueError:
        return number


def _check(limit: Limit, unit: str, plan: Plan, where: str) -> None:
    """Raise UsageError for a limit that no result of this plan can be held against."""
    if limit.found:
        check_found(limit, unit, plan, where)
        return
    metric = limit.metric
    if metric is not None and metric.of_turn and not plan.levels:
        raise UsageError(f"{where}: {limit.name} is of a load, and this is a race with one request at a time")
    if metric is not None and metric.of_objectives and not plan.slo.limits:
        raise UsageError(f"{where}: {limit.name} needs objectives; set them in [slo], or with --slo ttft=0.2")
    if limit.share and limit.which:
        raise UsageError(f"{where}: {limit.name} has one value at a level, of all requests; leave out _{limit.which}")
    if limit.share and (unit in ("s", "ms", "j") or limit.value > 1):
        raise UsageError(f"{where}: {limit.name} is a share; write 0.95 or 95%")
    if unit and not limit.share and unit not in _SUFFIXES.get(limit.unit, ()):
        wanted = {"s": "is in seconds; write 0.2 or 200ms", "J/token": "is in J per token; write 0.5 or 0.5J"}
        in_s = "s" if limit.unit == "ms" else limit.unit
        raise UsageError(f"{where}: {limit.name} {wanted.get(in_s, 'is per second')}")
    least = FROM.get(limit.quantile, 1)
    rounds = plan.config.iterations
    of_requests = bool(plan.levels) and _pooled(limit)
    # Of turns of a duration the number of requests is not known.
    requests = min(filter(None, (rounds * plan.load.requests_of(level) for level in limit.at(plan))), default=least)
    planned = requests if of_requests else rounds
    if planned < least:
        of = "requests" if of_requests else "turns" if plan.levels else "iterations"
        more = "--requests" if of_requests else "--iterations"
        raise UsageError(f"{where}: {limit.which} needs {least} {of}, and this run has {planned}; raise {more}")


def _pooled(limit: Limit) -> bool:
    """Whether under a load the values are those of requests, and not of turns."""
    return limit.name in get_args(Quantity)


def _judge(limit: Limit, backend_view: BackendView, level: Level | None) -> tuple[str, bool]:
    """What to say of a backend at a level, and whether the limit is broken; "" if it is kept."""
    where = sanitize(backend_view.backend.name, 40) + (f" at {level.title}" if level is not None else "")
    lost, requests = _lost(backend_view, level)
    if limit.share:
        value = lost if limit.metric is None else _attainment(backend_view, level)
        if value is None:
            return f"{where}: no requests to tell the share of {limit.name}", False
        if not limit.holds(value):
            return "", False
        of = plural(requests, "request" if level is not None else "iteration")
        return f"{where}: {limit.name} is {attained_text(value)} of {of}, {_limit_words(limit)}", True
    metric = limit.metric
    assert metric is not None
    title = f"{metric.title} {limit.which}".strip()
    # Requests of a load without an answer are slower than any limit. In a race they fail the run themselves.
    lost = lost if lost is not None and level is not None and limit.late else 0.0
    if lost >= 1 - limit.quantile + _TINY and limit.which != "mean":
        return f"{where}: {attained_text(lost)} of {plural(requests, 'request')} got no answer, so no {title}", True
    values = _values(limit, backend_view, level, lost)
    if not values.n:
        why = ", as no meter told it (llmtui explain power)" if limit.unit == "J/token" else ""
        return f"{where}: no value of {metric.title}{why}", False
    if limit.which == "mean" and lost > _LOST:
        return f"{where}: {attained_text(lost)} of the requests got no answer, so {title} is that of the others", False
    if values.value is None:
        return f"{where}: n = {values.n} is too small for {title}: {FROM[limit.quantile]} are needed", False
    if not limit.holds(values.value):
        return "", False
    return f"{where}: {title} is {figure(values.value, metric.unit)} (n = {values.n}), {_limit_words(limit)}", True


class _Values(NamedTuple):
    """The value that is held against a limit, None if `n` is too small for it."""

    n: int
    value: float | None


def _values(limit: Limit, backend_view: BackendView, level: Level | None, lost: float) -> _Values:
    metric = limit.metric
    assert metric is not None
    if level is not None and _pooled(limit):
        attempt = backend_view.state.attempt
        turns = [
            turn
            for turn in backend_view.turns
            if (turn.attempt, turn.level, turn.phase) == (attempt, level.number, "measured") and turn.as_sample.ok
        ]
        buckets = pooled(turns, cast("Quantity", limit.name))
        if limit.which == "mean":
            total = math.fsum(value_of(index) * count for index, count in buckets.counts)
            return _Values(buckets.n, total / buckets.n if buckets.n else None)
        enough = buckets.n >= FROM[limit.quantile]
        # That of all requests, of which the lost ones come last.
        place = min(1.0, limit.quantile / (1 - lost)) if lost < 1 else 1.0
        return _Values(buckets.n, buckets.quantile(place) if enough else None)
    view = backend_view.at(level.number) if level is not None else backend_view
    ordered = view.figures.ordered(metric.key)
    if limit.which == "mean":
        return _Values(len(ordered), math.fsum(ordered) / len(ordered) if ordered else None)
    return _Values(len(ordered), _quantile(ordered, limit.quantile) if len(ordered) >= FROM[limit.quantile] else None)


def _quantile(ordered: Sequence[float], q: float) -> float:
    place = type_8(len(ordered), q) - 1
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def _lost(backend_view: BackendView, level: Level | None) -> tuple[float | None, int]:
    """The share of the requests without an answer, None without requests, and their number."""
    if level is None:
        measured = backend_view.figures.measured
        return (backend_view.summary.errors / measured if measured else None), measured
    figures = backend_view.at_level(level.number)
    return (figures.unsuccessful / figures.requests if figures.requests else None), figures.requests


def _attainment(backend_view: BackendView, level: Level | None) -> float | None:
    return backend_view.at_level(level.number).attainment if level is not None else None


def _limit_words(limit: Limit) -> str:
    """ "more than 0.2 s", "less than 95%", "less than 8"."""
    metric = limit.metric
    if limit.share:
        value = f"{100 * limit.value:.6g}%"
    elif metric is None:
        value = f"{limit.value:.6g}"
    else:
        value = f"{limit.value:.6g}" + _UNITS.get(metric.unit, "")
    return f"{_WORDS[limit.sign]} {value}"
