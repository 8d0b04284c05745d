"""A backend's typical value and its bad end: median, mean and 95th percentile, each with how sure it is.

Median and percentile have exact limits from order statistics, which assume nothing about the values. Everything here
costs the same for ten samples and for a million.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from llmtui.model import Struct
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.sorted_values import Sample
from llmtui.stats.student import reach
from llmtui.stats.summary import percentile

LEVEL = 0.95
#: The smallest n for the interval of a median.
MEDIAN_FROM = 6
#: The smallest n for the interval of a mean.
MEAN_FROM = 10
#: The smallest n for a 95th percentile: with fewer, even the largest value is not above it in 95% of cases.
TAIL_FROM = 59
#: Ranks of order statistics are exact up to this number of values.
EXACT = 400
#: From this many degrees of freedom on, Student's t hardly changes, and finding it takes longer.
_NORMAL_FROM = 1000
#: Less of a lean is none.
_STRAIGHT = 1e-9

_NORMAL = NormalDist()
Interval = tuple[float, float]
#: Why the interval of a mean is not shown.
Withheld = Literal["", "too few"]


class Tail(Struct, frozen=True):
    """The bad end of a metric: the quantile of `share` (0.95, of a rate 0.05) in the metric's unit.

    `limit` is its upper limit, of a rate its lower one: in 95% of cases the true quantile is not beyond it.
    """

    share: float
    value: float
    limit: float


class Estimate(Struct, frozen=True):
    """Median and mean of `n` samples in the metric's unit, each with its interval at `LEVEL` (None for too few).

    `mean_withheld` says why the mean has no interval; `tail` is None for fewer than `TAIL_FROM` samples.
    """

    n: int
    median: float
    mean: float
    median_interval: Interval | None = None
    mean_interval: Interval | None = None
    mean_withheld: Withheld = ""
    tail: Tail | None = None


def median_interval(ordered: Sequence[float], hidden: float = 0.0) -> Interval | None:
    """The interval of the median of ascending values, from order statistics; None for fewer than `MEDIAN_FROM`.

    It contains the true median in 95% of cases or more. Each value may be off by as much as `hidden`, all to one side.
    """
    n = len(ordered)
    rank = order_rank(n, 0.5, (1 - LEVEL) / 2)
    return (ordered[rank - 1] - hidden, ordered[n - rank] + hidden) if rank else None


def tail(ordered: Sequence[float], metric: MetricKey) -> Tail | None:
    """The bad end of ascending values of `metric`; None for fewer than `TAIL_FROM`.

    The quantile is Hyndman and Fan's type 8, about as often above the true one as below it.
    """
    n, share = len(ordered), METRICS[metric].bad_end
    rank = order_rank(n, min(share, 1 - share), 1 - LEVEL)
    if not rank:
        return None
    limit = ordered[rank - 1] if share < 0.5 else ordered[n - rank]
    return Tail(share=share, value=_type_8(ordered, share), limit=limit)


def mean_interval(mean: float, stddev: float, skewness: float, n: int) -> Interval:
    """The interval of the mean of `n` values, 2 or more: Student's t, corrected for skewed values (Hall 1992).

    Rare values that are far from the rest may not be among the samples at all: it is then too narrow.
    """
    error, lean, t = stddev / math.sqrt(n), skewness / math.sqrt(n), reach(min(n - 1, _NORMAL_FROM), LEVEL)
    return mean - error * _unbent(t, lean), mean - error * _unbent(-t, lean)


def estimate(sample: Sample, metric: MetricKey = "latency") -> Estimate:
    """The estimate from the samples of `metric`. Raises ValueError without values."""
    spread, ordered = sample.spread(), sample.ordered
    if spread is None:
        raise ValueError("an estimate needs at least one value")
    # Not withheld for outliers: with one to four of them it holds the mean, and without any it is too narrow, as none
    # of the rare values is among the samples (tests.bench.samples).
    withheld: Withheld = "too few" if spread.n < MEAN_FROM else ""
    of_mean = None
    if not withheld and spread.stddev is not None:
        of_mean = mean_interval(spread.mean, spread.stddev, sample.skewness, spread.n)
    return Estimate(
        n=spread.n,
        median=spread.median,
        mean=spread.mean,
        median_interval=median_interval(ordered),
        mean_interval=of_mean,
        mean_withheld=withheld,
        tail=tail(ordered, metric),
    )


@functools.lru_cache(maxsize=1024)
def order_rank(n: int, share: float, alpha: float) -> int:
    """The largest rank whose value, of `n` ascending ones, is above the `share`-quantile in at most `alpha` of cases.

    0 if there is none. Exact up to `EXACT` values, then by the normal distribution with its correction for skewness
    (Cornish and Fisher 1937).
    """
    if n > EXACT:
        z, deviation = -_NORMAL.inv_cdf(alpha), math.sqrt(n * share * (1 - share))
        return math.floor(n * share + 0.5 - z * deviation + (z * z - 1) / 6 * (1 - 2 * share))
    below = 0.0
    for rank in range(n + 1):
        # The chance that so few values are below the quantile.
        ways = math.lgamma(n + 1) - math.lgamma(rank + 1) - math.lgamma(n - rank + 1)
        below += math.exp(ways + rank * math.log(share) + (n - rank) * math.log1p(-share))
        if below > alpha:
            return rank
    return n


def _type_8(ordered: Sequence[float], share: float) -> float:
    """The quantile of ascending values, interpolated between the ranks around (n + 1/3) share + 1/3."""
    n = len(ordered)
    place = min(max((n + 1 / 3) * share + 1 / 3 - 1, 0.0), n - 1.0)
    return percentile(ordered, place / (n - 1)) if n > 1 else ordered[0]


def _unbent(t: float, lean: float) -> float:
    """The inverse of Hall's transformation t + lean t^2 / 3 + lean^2 t^3 / 27 + lean / 6, which takes out the skew."""
    if abs(lean) < _STRAIGHT:
        return t
    return 3 / lean * (math.cbrt(1 + lean * (t - lean / 6)) - 1)
