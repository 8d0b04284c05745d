"""Intervals of a mean or a median: the bias-corrected and accelerated bootstrap (Efron 1987).

Resampling underestimates the spread of few values, so the level is expanded (Hesterberg 2015, 4.2).
"""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from statistics import NormalDist

RESAMPLES = 2000
#: An interval from resampling is too narrow for fewer values.
LEAST = 6

_NORMAL = NormalDist()

Statistic = Callable[[Sequence[float]], float]


def interval(
    values: Sequence[float], statistic: Statistic = statistics.median, *, level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of `statistic` at `level`, in the unit of `values`; None below `LEAST` values.

    The same values give the same interval. It computes the statistic `RESAMPLES` times: about 10 ms for ten values.
    """
    n = len(values)
    if n < LEAST:
        return None
    rng = random.Random(0)
    estimate = statistic(values)
    resampled = sorted(statistic(rng.choices(values, k=n)) for _ in range(RESAMPLES))
    # Values equal to the estimate, frequent for a median, count as half below.
    below = (bisect_left(resampled, estimate) + bisect_right(resampled, estimate)) / 2
    if not 0 < below < RESAMPLES:
        return estimate, estimate
    bias = _NORMAL.inv_cdf(below / RESAMPLES)
    acceleration = _acceleration(values, statistic)

    def end(z: float) -> float:
        share = _NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        return resampled[min(RESAMPLES - 1, max(0, round(share * (RESAMPLES - 1))))]

    z = _expanded(_NORMAL.inv_cdf((1 + level) / 2), n)
    return end(-z), end(z)


def _expanded(z: float, n: int) -> float:
    """Student's quantile in place of the normal one (Cornish and Fisher's expansion), for a variance divided by n."""
    free = n - 1
    student = (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    return student * math.sqrt(n / free)


def _acceleration(values: Sequence[float], statistic: Statistic) -> float:
    """The rate at which the standard error changes with the statistic, by the jackknife."""
    left_out = [statistic([*values[:i], *values[i + 1 :]]) for i in range(len(values))]
    centre = statistics.fmean(left_out)
    squares = sum((centre - v) ** 2 for v in left_out)
    return sum((centre - v) ** 3 for v in left_out) / (6 * squares**1.5) if squares else 0.0
