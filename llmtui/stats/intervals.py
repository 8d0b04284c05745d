"""A backend's typical value: median and mean, each with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from llmtui.model import Struct
from llmtui.stats.bootstrap import LEAST, interval
from llmtui.stats.summary import percentile

LEVEL = 0.95
#: Intervals come from resampling (25 ms) up to this number of values, and from order statistics and stddev beyond.
RESAMPLED = 60

Interval = tuple[float, float]


class Estimate(Struct, frozen=True):
    """Median and mean of `n` samples in the metric's unit, each with its interval at `LEVEL` (None for too few)."""

    n: int
    median: float
    mean: float
    median_interval: Interval | None = None
    mean_interval: Interval | None = None


def estimate(ordered: Sequence[float], mean: float, stddev: float | None) -> Estimate:
    """The estimate from ascending values with this mean and sample stddev. Raises ValueError without values.

    The same values give the same intervals: by BCa bootstrap (llmtui.stats.bootstrap) up to `RESAMPLED` values, beyond
    that by order statistics around the median and a normal interval of the mean.
    """
    n = len(ordered)
    median = percentile(ordered, 0.5)
    if n < LEAST or stddev is None:
        return Estimate(n, median, mean)
    if n <= RESAMPLED:
        values = list(ordered)
        of_median, of_mean = interval(values, level=LEVEL), interval(values, statistics.fmean, level=LEVEL)
        return Estimate(n, median, mean, of_median, of_mean)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    rank = math.floor((n + 1 - z * math.sqrt(n)) / 2)
    reach = z * stddev / math.sqrt(n)
    return Estimate(n, median, mean, (ordered[rank - 1], ordered[n - rank]), (mean - reach, mean + reach))
