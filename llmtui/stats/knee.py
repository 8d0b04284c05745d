"""The knee of a backend: the smallest level with at least 90% of the throughput of its plateau, with its interval.

The interval comes from resamples of rounds: in each, the mean logarithms of the output tokens/s are made ascending
over the levels (pool adjacent violators), and the knee is read from them. As few rounds vary less than the machine
does, the resampled means are moved away from the measured ones, as Student's t does for the mean of as many values.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
from collections.abc import Sequence

from llmtui.model import Load, Struct
from llmtui.model.load import ladder
from llmtui.stats.probes import Probe, error_rate
from llmtui.stats.student import reach, welch

#: The knee has at least this share of the throughput of the plateau.
SHARE = 0.9
#: A step to more streams that surely gains less than this ends a search.
GAIN = math.log(1.05)
LEVEL = 0.95
#: How many resamples an interval is from.
RESAMPLES = 1000
#: A knee needs this many levels: with fewer it is not known where the throughput stops growing.
LEAST_LEVELS = 4
_NORMAL_REACH = 1.959963984540054
#: Less is a rounding error.
_TINY = 1e-9


class Knee(Struct, frozen=True):
    """The knee at `streams`, `low` to `high` at `LEVEL`; `plateau` is the throughput there in output tokens/s.

    The ends are numbers of streams: a level between two that were measured may be the true one. `reached` is False if
    the throughput still grew at the last level: then the knee is at least at `low`, and not known. `sure`: more streams
    than the last level surely gain less than 5%. `failed_at` is the level at which the server failed, 0 if it did not.
    """

    streams: int
    low: int
    high: int
    plateau: float
    reached: bool = True
    sure: bool = True
    failed_at: int = 0


def next_probe(probes: Sequence[Probe], load: Load) -> int | None:
    """Return the streams of the next probe of a search for the knee, None at its end.

    It doubles the streams until that surely gains less than 5%, then halves the gap below the knee.
    """
    if not probes:
        return 1
    measured = [probe for probe in probes if probe.measured]
    if not measured or len(probes) >= load.most_levels:
        return None
    until = _until(probes, load)
    top = measured[-1].streams
    if top < until and not flat(measured, load):
        return min(2 * top, until)
    if _still_grows(measured, load):
        return None
    place = _knee_at(ascending([statistics.fmean(probe.speeds.values()) for probe in measured]))
    if place == 0:
        return None
    below, at = measured[place - 1].streams, measured[place].streams
    between = [count for count in ladder(load.search_until) if below < count < at]
    return between[(len(between) - 1) // 2] if between else None


def knee_of(probes: Sequence[Probe], load: Load) -> Knee | None:
    """Return the knee of a backend, None for too few levels: a search has measured two, or else there are 4."""
    measured = [probe for probe in probes if probe.measured]
    if len(measured) < (2 if load.search else LEAST_LEVELS):
        return None
    counts = [probe.streams for probe in measured]
    means = ascending([statistics.fmean(probe.speeds.values()) for probe in measured])
    found = sorted(knees(measured, joint=not load.search))
    low = found[math.floor((1 - LEVEL) / 2 * len(found))]
    high = found[math.ceil((1 + LEVEL) / 2 * len(found)) - 1]
    reached = not _still_grows(measured, load)
    place = _knee_at(means)
    return Knee(
        streams=counts[place],
        low=_least(counts, min(low, place)),
        high=counts[max(high, place)],
        plateau=math.exp(means[-1]),
        reached=reached,
        sure=reached and flat(measured, load),
        failed_at=next((probe.streams for probe in probes if probe.broken and load.search), 0),
    )


def differ(one: Sequence[Probe], two: Sequence[Probe], load: Load, pairs: int = 1) -> int:
    """Return 1 if the knee of `one` is surely at more streams than that of `two`, -1 if at fewer, 0 otherwise.

    That is by the ratio in each resample of the rounds, which are the same for both. `pairs` are compared in all.
    """
    sides = [[probe for probe in side if probe.measured] for side in (one, two)]
    first, second = ([probe.streams for probe in side] for side in sides)
    found = zip(*(knees(side, joint=not load.search) for side in sides), strict=True)
    # Each true knee is above the level below: only ratios that hold for all of them count.
    ends = [(_least(first, a) / second[b], first[a] / _least(second, b)) for a, b in found]
    out = (1 - LEVEL) / 2 / pairs
    low = sorted(low for low, _ in ends)[math.floor(out * len(ends))]
    high = sorted(high for _, high in ends)[math.ceil((1 - out) * len(ends)) - 1]
    return 1 if low > 1 else -1 if high < 1 else 0


def knees(measured: Sequence[Probe], *, joint: bool) -> list[int]:
    """Return the place of the knee among these levels in each resample of the rounds.

    `joint`: the rounds of all levels are the same ones, so they are drawn together.
    """
    drawn = [_resampled(list(probe.speeds.values()), 0 if joint else probe.streams) for probe in measured]
    return [_knee_at(ascending(means)) for means in zip(*drawn, strict=True)]


def flat(measured: Sequence[Probe], load: Load) -> bool:
    """Whether the last step to more streams, or the last two together, surely gain less than 5% each."""
    steps = _steps(measured, load)
    if len(steps) < 2 or _gain(steps[-2], steps[-1])[0] >= GAIN:
        return False
    error = error_rate(load)
    return any(_bounds(steps[-1 - count], steps[-1], error)[1] < count * GAIN for count in (1, 2) if len(steps) > count)


def ascending(values: Sequence[float]) -> list[float]:
    """Return the ascending values that are nearest to these (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, of = blocks.pop()
            mean, count = (mean * count + before * of) / (count + of), count + of
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]


def _still_grows(measured: Sequence[Probe], load: Load) -> bool:
    """Whether the last step surely gained more than 5%."""
    steps = _steps(measured, load)
    return len(steps) > 1 and _bounds(steps[-2], steps[-1], error_rate(load))[0] > GAIN


def _steps(measured: Sequence[Probe], load: Load) -> list[Probe]:
    """The levels of a search that double the streams, with the last one; all levels of a sweep."""
    if not load.search:
        return list(measured)
    return [probe for probe in measured if probe.streams.bit_count() == 1 or probe is measured[-1]]


def _gain(one: Probe, two: Probe) -> tuple[float, float, float]:
    """The gain from one level to the next as a difference of logarithms, with its standard error and its degrees."""
    difference = welch(list(one.speeds.values()), list(two.speeds.values()))
    return difference.estimate, difference.error, difference.df


def _bounds(one: Probe, two: Probe, error: float) -> tuple[float, float]:
    """The lower and the upper bound of the gain, each of which is wrong in a share `error` of cases."""
    estimate, deviation, df = _gain(one, two)
    half = reach(df, 1 - 2 * error) * deviation
    return estimate - half, estimate + half


def _until(probes: Sequence[Probe], load: Load) -> int:
    """The largest number of streams to try: less than where the server failed."""
    failed = min((probe.streams for probe in probes if probe.broken), default=load.search_until + 1)
    return max((count for count in ladder(load.search_until) if count < failed), default=0)


def _knee_at(means: Sequence[float]) -> int:
    """The place of the knee among ascending logarithms of the throughput."""
    least = means[-1] + math.log(SHARE) - _TINY
    return next(place for place, mean in enumerate(means) if mean >= least)


def _least(counts: Sequence[int], place: int) -> int:
    """The fewest streams that the true knee may be at if it was found at this place of the measured levels."""
    return counts[place - 1] + 1 if place else 1


def _resampled(values: Sequence[float], draw: int) -> list[float]:
    """The means of resamples of these values. Two sides with the same `draw` and number of values draw alike."""
    k, mean = len(values), statistics.fmean(values)
    wider = math.sqrt(k / (k - 1)) * reach(k - 1, LEVEL) / _NORMAL_REACH
    away = [wider * (value - mean) / k for value in values]
    return [mean + sum(map(away.__getitem__, pick)) for pick in _picks(draw, k)]


@functools.lru_cache(maxsize=256)
def _picks(draw: int, k: int) -> list[list[int]]:
    rng = random.Random(f"knee {draw}")
    return [[int(rng.random() * k) for _ in range(k)] for _ in range(RESAMPLES)]
