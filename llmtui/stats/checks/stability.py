"""Did the samples stay alike during the run? A cold start, outliers, a drift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llmtui.stats.checks.base import Check, Entry, Race, each, of
from llmtui.stats.checks.evidence import Thinned
from llmtui.stats.compare import rounds
from llmtui.stats.summary import far_out, outliers, percentile
from llmtui.stats.trend import autocorrelation, slope, tau, trend_p
from llmtui.text.format import figure

#: A first iteration is cold if it is this far above the median of the rest: a share of it, and in standard deviations.
COLD_SHARE = 0.2
COLD_DEVIATIONS = 6.0
#: It is also this share above the 90th percentile of the rest, and of those of all backends, each relative to its
#: median: noise of two speeds has a small deviation.
COLD_BEYOND = 0.2
COLD_PERCENTILE = 0.9
#: The last warm-up was at least this part of the way up (in logarithms): a server does not become cold while it works.
COLD_WARM_UP = 0.75
#: Without warm-ups, so much above the other iterations of all backends that chance does it in this share of races.
COLD_CHANCE = 0.05
COLD_APART = 0.3
_COLD_FROM = 5
#: From this rank correlation with time on, a trend is not taken for noise that lasts.
DRIFT_TAU = 0.9
#: Drift: a change along the run of more than this share, unlikely by chance, ...
DRIFT_SHARE = 0.05
DRIFT_P = 0.01
#: ... and in a backend that drifted, a change of its ratio to another one, with this p divided by the pairs.
DRIFT_RATIO_P = 0.02
DRIFT_HALF = 0.5
_DRIFT_FROM = 8
#: From the median absolute deviation to the standard deviation of normal noise.
_MAD = 1.4826


class _Start(NamedTuple):
    """The first measured latency of a backend, the others, ascending, and their median, in s."""

    first: float
    rest: list[float]
    median: float

    @property
    def ratio(self) -> float:
        return self.first / self.median


def cold(race: Race) -> Iterator[Check]:
    """cold-start: the first measured iteration was far slower than the rest."""
    starts = {e.name: start for e in race.sampled if (start := _start(e)) is not None}
    others = sorted(value / start.median for start in starts.values() for value in start.rest)
    latencies = {
        e.name: f"{figure(start.first, 's')}, median of the rest {figure(start.median, 's')}"
        for e in race.sampled
        if (start := starts.get(e.name)) is not None and _is_cold(start, e.evidence.warm_up_s, others, len(starts))
    }
    if latencies:
        yield Check(
            code="cold-start",
            level="warning",
            backends=list(latencies),
            text=f"the first measured {race.unit} was cold: {each(latencies)}",
            todo=f"{_warmer(race)}; it changes mean and max, hardly the median",
        )


def _warmer(race: Race) -> str:
    if race.at is not None:
        return "set settle in [load] to more requests"
    return f"set warmup = {race.config.warmup + 2} in [run]"


def _start(entry: Entry) -> _Start | None:
    course = entry.evidence.metrics["latency"]
    if len(course.values) <= _COLD_FROM or course.places[0] != 0:
        return None
    rest = sorted(course.values[1:])
    median = percentile(rest, 0.5)
    return _Start(course.values[0], rest, median) if median > 0 else None


def _is_cold(start: _Start, warm_up_s: float | None, others: Sequence[float], backends: int) -> bool:
    """Whether a start is cold. `others` are the other iterations of all backends, as ratios to their medians."""
    deviation = _MAD * percentile(sorted(abs(v - start.median) for v in start.rest), 0.5)
    usual = start.median + max(COLD_SHARE * start.median, COLD_DEVIATIONS * deviation)
    high = max(percentile(start.rest, COLD_PERCENTILE), start.median * percentile(others, COLD_PERCENTILE))
    if start.first <= max(usual, (1 + COLD_BEYOND) * high):
        return False
    if warm_up_s is not None:
        return warm_up_s > start.median * math.pow(start.ratio, COLD_WARM_UP)
    # If all of them are alike, each is among the `most` largest with this chance, divided by the backends.
    most = max(1, math.floor(COLD_CHANCE * (len(others) + 1) / backends))
    return start.ratio > (1 + COLD_APART) * others[-most]


def outlying(race: Race) -> Iterator[Check]:
    """outliers: samples far from the rest. They count in every figure."""
    far = {}
    for entry in race.sampled:
        ordered = entry.latencies or sorted(entry.evidence.metrics["latency"].values)
        if beyond := outliers(ordered):
            furthest = ordered[-1] if ordered[-1] > far_out(ordered)[1] else ordered[0]
            median = percentile(ordered, 0.5)
            far[entry.name] = (
                f"{of(beyond, entry.evidence.good, race.unit)} ({figure(furthest, 's')}, median {figure(median, 's')})"
            )
    if far:
        yield Check(
            code="outliers",
            level="note",
            backends=list(far),
            text=f"some samples are far from the rest: {each(far)}",
            todo="look whether other programs were busy then (~); outliers change mean and max, hardly the median",
        )


def drift(race: Race) -> Iterator[Check]:
    """drift: a backend became slower, or faster, during the run. Turns cancel it if it hit all backends alike."""
    alone, apart, alike = dict[str, str](), dict[str, str](), dict[str, str]()
    for entry in race.sampled:
        course = entry.evidence.metrics["latency"]
        if not _changed(course.places, course.values, DRIFT_P):
            continue
        turns = len(race.sampled) > 1 and _took_turns(race, entry)
        if turns and _ratio_changed(race, entry):
            apart[entry.name] = _change_words(course, trend_p(course.values))
        elif (p := _lasting_p(course)) < DRIFT_P:
            (alike if turns else alone)[entry.name] = _change_words(course, p)
    if apart:
        yield Check(
            code="drift",
            level="warning",
            backends=list(apart),
            text=f"latency drifted during the run: {each(apart)}; not that of all others, so their ratio changed too",
            todo="warm up longer, or let the machine cool down (cooldown_s)",
        )
    if alone:
        yield Check(
            code="drift",
            level="warning",
            backends=list(alone),
            text=f"latency drifted during the run: {each(alone)}",
            todo="warm up longer, or let the machine cool down (cooldown_s); it cancels out if backends take turns",
        )
    if alike:
        yield Check(
            code="drift",
            level="note",
            backends=list(alike),
            text=f"latency drifted during the run: {each(alike)}; turns cancel what hits all backends alike",
            todo="none needed to compare them; other figures than ratios are of this run only",
        )


def _took_turns(race: Race, entry: Entry) -> bool:
    """Whether it took turns with each of the others."""
    recent = entry.evidence.recent
    return all(rounds(recent, o.evidence.recent) for o in race.sampled if o.name != entry.name)


def _ratio_changed(race: Race, entry: Entry) -> bool:
    """Whether its ratio to another backend drifted, by the rounds. What hits all alike is not in the ratio.

    If its own drift is steady, it is enough that another one changed by less than half as much: noise hides a ratio.
    """
    course = entry.evidence.metrics["latency"]
    steady = abs(tau(course.values)) >= DRIFT_TAU
    p = DRIFT_RATIO_P / math.comb(len(race.sampled), 2)
    for other in (o for o in race.sampled if o.name != entry.name):
        pairs = rounds(entry.evidence.recent, other.evidence.recent)
        ratios = [(a.iteration, a.latency_s / b.latency_s) for a, b in pairs if a.latency_s and b.latency_s]
        if _changed([place for place, _ in ratios], [ratio for _, ratio in ratios], p):
            return True
        theirs = other.evidence.metrics["latency"]
        if steady and _change(theirs.places, theirs.values) / _change(course.places, course.values) < DRIFT_HALF:
            return True
    return False


def _changed(places: Sequence[int], values: Sequence[float], p: float) -> bool:
    """Whether there is a trend, if noise does not last: with a p below this, and not a small one."""
    if len(values) < _DRIFT_FROM or trend_p(values) >= p:
        return False
    return abs(_change(places, values)) > DRIFT_SHARE


def _change(places: Sequence[int], values: Sequence[float]) -> float:
    """The change from first place to last, as a share of the median; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    median = percentile(sorted(values), 0.5)
    return slope(places, values) * (places[-1] - places[0]) / median if median > 0 else 0.0


def _lasting_p(course: Thinned) -> float:
    """The p of a trend if disturbances last. On logarithms, steady growth leaves nothing that looks like one.

    What hardly ever turns is a trend, though a line that does not fit it well leaves what seems to last.
    """
    values = course.values
    if abs(tau(values)) >= DRIFT_TAU:
        return trend_p(values)
    if min(values) > 0:
        values = [math.log(value) for value in values]
    return trend_p(values, autocorrelation(course.places, values))


def _change_words(course: Thinned, p: float) -> str:
    return f"{_change(course.places, course.values):+.0%} ({_p_text(p)})"


def _p_text(p: float) -> str:
    return f"p = {p:.1g}" if p >= 0.001 else "p < 0.001"
