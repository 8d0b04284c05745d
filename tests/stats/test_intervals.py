"""The figures of one backend: intervals and limits by hand, by exact counting, and where they are withheld."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.stats.intervals import (
    EXACT,
    MEAN_FROM,
    MEDIAN_FROM,
    TAIL_FROM,
    estimate,
    mean_interval,
    median_interval,
    order_rank,
    tail,
)
from llmtui.stats.sorted_values import Sample


def sample(values: Iterable[float]) -> Sample:
    made = Sample()
    for value in values:
        made.add(value)
    return made


def at_most(n: int, share: float, most: int) -> float:
    """The chance that at most `most` of `n` values are below the quantile."""
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(most + 1)
    )
    return math.fsum(map(math.exp, logs))


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (60, 22, 39), (100, 40, 61)])
def test_interval_of_the_median_by_hand(n: int, low: int, high: int) -> None:
    assert median_interval(range(1, n + 1)) == (low, high)
    assert median_interval(range(MEDIAN_FROM - 1)) is None


@pytest.mark.parametrize(("share", "alpha"), [(0.5, 0.025), (0.05, 0.05)])
@pytest.mark.parametrize("n", [5, 6, 10, 58, 59, 100, 399, 400, 401, 1000, 5000, 30_000])
def test_ranks_are_exact_or_nearly(n: int, share: float, alpha: float) -> None:
    rank = order_rank(n, share, alpha)
    slack = 1.0 if n <= EXACT else 1.01
    assert rank == 0 or at_most(n, share, rank - 1) <= alpha * slack
    assert at_most(n, share, rank) > alpha / slack, "the next rank would be too far in"


def test_limit_of_the_95th_percentile_by_hand() -> None:
    ordered = [float(n) for n in range(1, TAIL_FROM + 1)]
    assert tail(ordered[:-1], "latency") is None
    slow, rate = tail(ordered, "latency"), tail(ordered, "tokens_per_s")
    assert slow is not None and rate is not None
    # Type 8: rank (59 + 1/3) 0.95 + 1/3.
    assert (slow.share, slow.limit) == (0.95, 59) and slow.value == pytest.approx(56.7)
    assert (rate.share, rate.limit) == (0.05, 1) and rate.value == pytest.approx(3.3)


def test_interval_of_the_mean_is_withheld() -> None:
    few, enough = estimate(sample(range(1, MEAN_FROM))), estimate(sample(range(1, MEAN_FROM + 1)))
    assert (few.mean_interval, few.mean_withheld, few.mean) == (None, "too few", 5)
    assert few.median_interval == (2, 8) and enough.mean_withheld == ""
    assert enough.mean_interval == pytest.approx((5.5 - 2.16585, 5.5 + 2.16585), abs=1e-5), "Student's t: no skew"
    odd = estimate(sample([*(1 + n / 100 for n in range(20)), 9.0]))
    assert odd.mean_withheld == "" and odd.mean_interval is not None, "outliers withhold nothing"
    same = estimate(sample([2.0] * 10))
    assert same.mean_interval == same.median_interval == (2.0, 2.0)
    with pytest.raises(ValueError, match="at least one"):
        estimate(Sample())


def test_interval_of_a_skewed_mean_leans_to_the_long_side() -> None:
    values = [1.0, 1.02, 1.05, 1.08, 1.1, 1.15, 1.2, 1.3, 1.45, 1.7]
    low, high = estimate(sample(values)).mean_interval or (0, 0)
    mean = statistics.fmean(values)
    assert high - mean > 1.3 * (mean - low) > 0
    down, up = estimate(sample([-v for v in values])).mean_interval or (0, 0)
    assert (down, up) == pytest.approx((-high, -low))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_skewness_equals_its_definition(values: list[float]) -> None:
    mean = statistics.fmean(values)
    second, third = (statistics.fmean([(v - mean) ** power for v in values]) for power in (2, 3))
    if second > 1e-6:
        assert sample(values).skewness == pytest.approx(third / second**1.5, rel=1e-6, abs=1e-6)


def test_skewness_of_equal_and_of_extreme_values() -> None:
    assert Sample().skewness == sample([3.0]).skewness == sample([3.0] * 9).skewness == 0
    assert sample([1e-300, 1e-300, 1e300]).skewness == pytest.approx(1 / math.sqrt(2))


def test_coverage_of_the_mean() -> None:
    """A small, seeded check; tests.bench.samples has the whole table."""
    rng, hits = random.Random(1), 0
    for _ in range(400):
        values = sample(1 + rng.expovariate(10) for _ in range(20))
        spread = values.spread()
        assert spread is not None and spread.stddev is not None
        low, high = mean_interval(spread.mean, spread.stddev, values.skewness, spread.n)
        hits += low <= 1.1 <= high
    assert 0.91 <= hits / 400 <= 0.97
