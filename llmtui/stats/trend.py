"""Is there a trend in a series? The test of Mann and Kendall, for noise that lasts for several values too.

Kendall's variance is that of independent values. If a disturbance lasts, the score varies more, by the factor of Hamed
and Rao (1998), "A modified Mann-Kendall trend test for autocorrelated data", J. Hydrology 204:182-196.
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from statistics import NormalDist

from llmtui.stats.summary import percentile

#: The number of points between which all slopes are computed.
_SLOPES = 100
#: The largest autocorrelation that is assumed: the factor is finite there, and hardly any trend is shown.
_MOST = 0.99


def trend_p(values: Sequence[float], autocorrelation: float = 0.0) -> float:
    """The two-sided p-value of a trend (Mann 1945, Kendall 1975), corrected for ties and continuity.

    `autocorrelation` (0 to 1) is the part of a disturbance that remains at the next value.
    """
    n, score, seen = len(values), *_score(values)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in (len(list(same)) for _, same in itertools.groupby(seen)))
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18 * _inflation(n, autocorrelation)
    if variance <= 0:
        return 1.0
    return min(1.0, 2 * NormalDist().cdf(-(abs(score) - 1) / math.sqrt(variance)))


def rise_p(values: Sequence[float]) -> float:
    """The exact one-sided p-value of a rise of few independent values (about 10 at most), by all their orders."""
    pairs = math.comb(len(values), 2)
    at_least = (_score(values)[0] + pairs) // 2
    return sum(_orders(len(values))[at_least:]) / math.factorial(len(values))


def tau(values: Sequence[float]) -> float:
    """The rank correlation with time (Kendall 1938): 1 if every value is above all earlier ones, -1 if below."""
    return _score(values)[0] / max(1, math.comb(len(values), 2))


@functools.cache
def _orders(n: int) -> tuple[int, ...]:
    """How many orders of n different values have 0, 1, 2, ... pairs in ascending order."""
    counts = [1]
    for size in range(2, n + 1):
        longer = [0] * (len(counts) + size - 1)
        for pairs, orders in enumerate(counts):
            for more in range(size):
                longer[pairs + more] += orders
        counts = longer
    return tuple(counts)


def _score(values: Sequence[float]) -> tuple[int, list[float]]:
    """The number of pairs that rise, minus those that fall, and the values, ascending."""
    score, seen = 0, list[float]()
    for value in values:
        score += bisect_left(seen, value) - (len(seen) - bisect_right(seen, value))
        insort(seen, value)
    return score, seen


def _inflation(n: int, autocorrelation: float) -> float:
    """By how much autocorrelated values raise the variance of the score (Hamed and Rao 1998)."""
    if autocorrelation <= 0 or n < 3:
        return 1.0
    lags = range(1, n)
    weighted = sum((n - k) * (n - k - 1) * (n - k - 2) * autocorrelation**k for k in lags)
    return 1 + 2 / (n * (n - 1) * (n - 2)) * weighted


def autocorrelation(places: Sequence[int], values: Sequence[float]) -> float:
    """The part of a disturbance (0 to 0.99) that remains at the next value, estimated without the trend.

    It is the correlation of neighbours, of the ranks of what a straight line leaves. A line takes some of it along, so
    the estimate is corrected for its bias, about (2 + 4 r) / n (Kendall 1954; Marriott and Pope 1954).
    """
    n = len(values)
    if n < 5:
        return 0.0
    by = slope(places, values)
    left = [value - by * place for place, value in zip(places, values, strict=True)]
    ordered = sorted(left)
    ranks = [(bisect_left(ordered, v) + bisect_right(ordered, v) - n) / 2 for v in left]
    squares = sum(r * r for r in ranks)
    if not squares:
        return 0.0
    neighbours = sum(a * b for a, b in itertools.pairwise(ranks)) / squares
    return min(_MOST, max(0.0, (n * neighbours + 2) / (n - 4)))


def slope(places: Sequence[int], values: Sequence[float]) -> float:
    """The median of the slopes between two points each (Theil 1950, Sen 1968)."""
    step = max(1, len(values) // _SLOPES)
    points = list(zip(places, values, strict=True))[::step]
    return percentile(sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2)), 0.5)
