"""A backend's typical value: median and mean, each with its interval."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from llmtui.model import Struct
from llmtui.stats.bootstrap import LEAST, interval
from llmtui.stats.summary import percentile

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
#: The interval of the mean comes from resampling (12 ms) up to this number of values, and from the stddev beyond.
RESAMPLED = 60

Interval = tuple[float, float]


class Estimate(Struct, frozen=True):
    """Median and mean of `n` samples in the metric's unit, each with its interval at `LEVEL` (None for too few)."""

    n: int
    median: float
    mean: float
    median_interval: Interval | None = None
    mean_interval: Interval | None = None


def median_interval(ordered: Sequence[float]) -> Interval | None:
    """The interval of the median of ascending values, from order statistics; None if they are too few (below 6).

    It assumes nothing about the values. It contains the true median in 95% of cases or more, exactly up to `RESAMPLED`
    values and by the normal approximation beyond. Its cost does not grow with the values.
    """
    n = len(ordered)
    rank = _rank(n) if n <= RESAMPLED else math.floor((n + 1 - _Z * math.sqrt(n)) / 2)
    return (ordered[rank - 1], ordered[n - rank]) if rank else None


@functools.cache
def _rank(n: int) -> int:
    """The rank from either end at which the interval of the median of `n` values ends; 0 if they are too few."""
    below, rank = 1, 0
    while 2 * below <= (1 - LEVEL) * 2**n:
        rank += 1
        below += math.comb(n, rank)
    return rank


def estimate(ordered: Sequence[float], mean: float, stddev: float | None) -> Estimate:
    """The estimate from ascending values with this mean and sample stddev. Raises ValueError without values.

    The same values give the same intervals: of the median by order statistics, of the mean by BCa bootstrap
    (llmtui.stats.bootstrap) up to `RESAMPLED` values and by the normal distribution beyond.
    """
    n = len(ordered)
    median = percentile(ordered, 0.5)
    if n < LEAST or stddev is None:
        return Estimate(n, median, mean)
    of_median = median_interval(ordered)
    if n <= RESAMPLED:
        return Estimate(n, median, mean, of_median, interval(list(ordered), statistics.fmean, level=LEVEL))
    reach = _Z * stddev / math.sqrt(n)
    return Estimate(n, median, mean, of_median, (mean - reach, mean + reach))
