"""Rank statistics, without assumptions about the shape of the noise: exact for small n, else approximately normal.

Signed ranks (Wilcoxon 1945) for pairs, rank sums (Mann and Whitney 1947) for two independent groups, and the intervals
that go with them (Hodges and Lehmann 1963): the k-th smallest and the k-th largest of all averages of two, or of all
differences. Values must be finite.

Of equal values (ties), p is exact among all ways of giving out the ranks that occurred. The intervals are those of
values without ties: with ties they hold the truth at least as often.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from llmtui.stats.selection import Averages, Differences

#: Distributions are exact up to this number of pairs, or this product of group sizes.
EXACT_PAIRS = 60
EXACT_PRODUCT = 900
#: The normal approximation has no interval for a group of two or three at 99%, however large the other one is: groups
#: of so few are exact up to a larger product.
_FEW = 5
_FEW_PRODUCT = 5000

_NORMAL = NormalDist()


class Shift(NamedTuple):
    """The difference between two things: the estimate, its interval, and its two-sided p-value.

    The interval is (-inf, inf) if n is too small for the level.
    """

    estimate: float
    low: float
    high: float
    p: float


def paired_shift(differences: Sequence[float], alpha: float) -> Shift:
    """The centre of `differences`. If they are symmetric, the interval misses it at most `alpha` of the time."""
    averages = Averages(differences)
    n = len(differences)
    total = averages.total
    middle = (averages.kth((total + 1) // 2) + averages.kth(total // 2 + 1)) / 2
    k = _signed_rank_k(n, alpha)
    low, high = (averages.kth(k), averages.kth(total + 1 - k)) if k else (-math.inf, math.inf)
    return Shift(middle, low, high, signed_rank_p(differences))


def group_shift(first: Sequence[float], second: Sequence[float], alpha: float) -> Shift:
    """How far `first` is above `second`, with an interval that misses it at most `alpha` of the time."""
    differences = Differences(first, second)
    total = differences.total
    middle = (differences.kth((total + 1) // 2) + differences.kth(total // 2 + 1)) / 2
    k = _rank_sum_k(len(first), len(second), alpha)
    low, high = (differences.kth(k), differences.kth(total + 1 - k)) if k else (-math.inf, math.inf)
    return Shift(middle, low, high, rank_sum_p(first, second))


def signed_rank_p(differences: Sequence[float]) -> float:
    """The p-value of the signed ranks if the centre is 0. Zeros are dropped, ties share ranks."""
    values = [d for d in differences if d != 0]
    n = len(values)
    if not n:
        return 1.0
    values.sort(key=abs)
    sizes = [abs(d) for d in values]
    tied = len(set(sizes)) < n
    ranks = [_doubled_rank(sizes, size) for size in sizes] if tied else range(2, 2 * n + 1, 2)
    positive = sum(rank for rank, d in zip(ranks, values, strict=True) if d > 0)
    lower = min(positive, n * (n + 1) - positive)
    if n <= EXACT_PAIRS:
        ways = _ways_of_signs(ranks, lower) if tied else sum(_signed_rank_counts(n)[: lower // 2 + 1])
        return min(1.0, 2 * ways / (1 << n))
    ties = sum(t * t * t - t for t in _ties(sizes))
    deviation = math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
    return min(1.0, 2 * _NORMAL.cdf((lower / 2 + 0.5 - n * (n + 1) / 4) / deviation)) if deviation else 1.0


def rank_sum_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The p-value of the difference between two groups. Ties share ranks."""
    first, second = sorted((first, second), key=len)
    m, n = len(first), len(second)
    if not m:
        return 1.0
    pool = sorted([*first, *second])
    total = sum(_doubled_rank(pool, value) for value in first)
    above = total - m * (m + 1)
    lower = min(above, 2 * m * n - above)
    if _exact(m, n):
        tied = len(set(pool)) < m + n
        ways = _ways_of_groups(pool, m, total) if tied else sum(_rank_sum_counts(m, n)[: lower // 2 + 1])
        return min(1.0, 2 * ways / math.comb(m + n, m))
    ties = sum(t * t * t - t for t in _ties(pool))
    deviation = math.sqrt(m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1))))
    return min(1.0, 2 * _NORMAL.cdf((lower / 2 + 0.5 - m * n / 2) / deviation)) if deviation else 1.0


def _exact(m: int, n: int) -> bool:
    return m * n <= EXACT_PRODUCT or (min(m, n) <= _FEW and m * n <= _FEW_PRODUCT)


def _signed_rank_k(n: int, alpha: float) -> int:
    """The largest k so that the k-th average from either end misses at most `alpha`; 0 if there is none."""
    if n <= EXACT_PAIRS:
        return _largest_k(_signed_rank_counts(n), 2**n, alpha)
    mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, math.floor(mean + 0.5 + _NORMAL.inv_cdf(alpha / 2) * deviation))


def _rank_sum_k(m: int, n: int, alpha: float) -> int:
    if _exact(m, n):
        return _largest_k(_rank_sum_counts(m, n), math.comb(m + n, m), alpha)
    mean, deviation = m * n / 2, math.sqrt(m * n * (m + n + 1) / 12)
    return max(0, math.floor(mean + 0.5 + _NORMAL.inv_cdf(alpha / 2) * deviation))


def _largest_k(counts: Sequence[int], total: int, alpha: float) -> int:
    below = 0
    for k, count in enumerate(counts):
        below += count
        if 2 * below > alpha * total:
            return k
    return len(counts)


@functools.cache
def _signed_rank_counts(n: int) -> list[int]:
    """The number of the 2**n ways of signs in which the positive ranks sum to 0, 1, 2..."""
    counts = [1]
    for rank in range(1, n + 1):
        wider = counts + [0] * rank
        for total, ways in enumerate(counts):
            wider[total + rank] += ways
        counts = wider
    return counts


@functools.lru_cache(maxsize=256)
def _rank_sum_counts(m: int, n: int) -> list[int]:
    """The number of ways, of (m + n over m), in which the statistic of Mann and Whitney is 0, 1, 2..."""
    # Gaussian binomial coefficient: the product of (1 - q^(n+i)) / (1 - q^i) for i to m.
    counts = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for total in range(m * n, n + i - 1, -1):
            counts[total] -= counts[total - n - i]
        for total in range(i, m * n + 1):
            counts[total] += counts[total - i]
    return counts


def _ways_of_signs(ranks: Sequence[int], most: int) -> int:
    """The number of ways of signs in which the positive ones of these ranks sum to `most` or less."""
    # The counts of all sums are the digits of one integer, each with room for all ways.
    room = len(ranks) + 1
    below = (1 << room * (most + 1)) - 1
    counts = 1
    for rank in ranks:
        counts += counts << room * rank & below
    return _sum_of_digits(counts, room)


def _ways_of_groups(pool: Sequence[float], m: int, total: int) -> int:
    """The number of ways to choose `m` of these ascending values with a sum of doubled ranks that is at most `total`,
    or at least, whichever is smaller."""
    room = math.comb(len(pool), m).bit_length() + 1
    below = (1 << room * (total + 1)) - 1
    counts = [1] + [0] * m
    for value in pool:
        rank = room * _doubled_rank(pool, value)
        for size in range(m, 0, -1):
            counts[size] += counts[size - 1] << rank & below
    at_most = _sum_of_digits(counts[m], room)
    same = counts[m] >> room * total
    return min(at_most, math.comb(len(pool), m) - at_most + same)


def _sum_of_digits(number: int, room: int) -> int:
    """The sum of the digits of a number to the base of 2**room; it has to be smaller than base - 1."""
    return number % ((1 << room) - 1)


def _doubled_rank(ordered: Sequence[float], value: float) -> int:
    """Twice the rank of `value`, from 1; equal values share their mean rank."""
    return bisect_left(ordered, value) + bisect_right(ordered, value) + 1


def _ties(ordered: Sequence[float]) -> list[int]:
    sizes, start = [], 0
    while start < len(ordered):
        end = bisect_right(ordered, ordered[start])
        sizes.append(end - start)
        start = end
    return sizes
