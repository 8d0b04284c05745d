"""Durations counted in buckets whose width is a share of the value: percentiles in bounded memory, merged by addition.

A bucket holds the values from gamma^(i-1) to gamma^i, with gamma = (1 + a) / (1 - a), and answers with a value that is
off by at most a = 0.5% (Masson, Rim and Lee 2019). From 10 us to 1000 s that takes 1,843 buckets at most.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from llmtui.model import Percentiles, Quantity, Turn

#: The largest relative error of a percentile.
ERROR = 0.005
#: Shorter durations are in bucket 0, whose value is 0.
LEAST_S = 1e-5
#: Longer ones are in the last bucket.
MOST_S = 1e3
#: The smallest n for a percentile: with fewer, even the largest value is not above it in 95% of cases.
FROM = {0.5: 1, 0.9: 29, 0.95: 59, 0.99: 299}

_GAMMA = (1 + ERROR) / (1 - ERROR)
_PER_LOG = 1 / math.log(_GAMMA)
_LOWEST = math.ceil(math.log(LEAST_S) * _PER_LOG) - 1
_LAST = math.ceil(math.log(MOST_S) * _PER_LOG) - _LOWEST
#: The number of the bucket of a value: that of the first of their upper ends that it does not exceed.
_bucket_of = functools.partial(bisect.bisect_left, [_GAMMA ** (index + _LOWEST) for index in range(_LAST)])


class Buckets:
    """Counts of durations in s."""

    def __init__(self, times: Iterable[tuple[int, int]] = ()) -> None:
        self._times: Counter[int] = Counter()
        for index, count in times:
            self._times[index] += count

    @property
    def n(self) -> int:
        """The number of values."""
        return self._times.total()

    @property
    def counts(self) -> Iterable[tuple[int, int]]:
        """Each bucket with values, and their number; `value_of` has the value of a bucket."""
        return self._times.items()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, values: Iterable[float]) -> None:
        """Add finite values of 0 and more."""
        self._times.update(map(_bucket_of, values))

    def merge(self, other: Buckets) -> None:
        """Add the values of others."""
        self._times.update(other._times)

    def quantile(self, q: float) -> float:
        """The q-quantile (0 to 1) in s by type 8, off by `ERROR`, or by `LEAST_S` below that. Needs a value."""
        position = type_8(self.n, q)
        low = self._at(math.floor(position))
        return low + (self._at(math.ceil(position)) - low) * (position - math.floor(position))

    def _at(self, rank: int) -> float:
        """The value at a rank from 1 on."""
        for index in sorted(self._times):
            rank -= self._times[index]
            if rank <= 0:
                return value_of(index)
        raise ValueError("a quantile needs at least one value")

    def percentiles(self) -> Percentiles | None:
        """The percentiles that the number of values allows; None without values."""
        return percentiles_of(self.n, self.quantile)

    def encoded(self) -> list[int]:
        """Two numbers for each bucket with values: its distance from the one before, and its count."""
        numbers: list[int] = []
        last = 0
        for index in sorted(self._times):
            numbers += (index - last, self._times[index])
            last = index
        return numbers

    @classmethod
    def decoded(cls, numbers: Sequence[int]) -> Buckets:
        """Read `encoded`. Raises ValueError for numbers that it does not make."""
        index = 0
        times: list[tuple[int, int]] = []
        if len(numbers) % 2:
            raise ValueError("an odd count of numbers")
        for distance, count in zip(numbers[::2], numbers[1::2], strict=True):
            index += distance
            if count < 1 or distance < (1 if times else 0) or index > _LAST:
                raise ValueError("buckets that are out of order, or without values")
            times.append((index, count))
        return cls(times)


def pooled(turns: Iterable[Turn], quantity: Quantity) -> Buckets:
    """The buckets of several turns together, such as those of a level. Those that cannot be read are left out."""
    together = Buckets()
    for turn in turns:
        try:
            together.merge(Buckets.decoded(turn.buckets.get(quantity, ())))
        except ValueError:
            continue
    return together


def percentiles_of(n: int, quantile: Callable[[float], float]) -> Percentiles | None:
    """The percentiles that `n` values allow, from a function of q; None without values."""
    if not n:
        return None
    p50, p90, p95, p99 = (quantile(q) if n >= least else None for q, least in FROM.items())
    assert p50 is not None
    return Percentiles(n=n, p50=p50, p90=p90, p95=p95, p99=p99)


def type_8(n: int, q: float) -> float:
    """The place of the q-quantile among `n` ascending values, from 1 to n (Hyndman and Fan's type 8)."""
    return min(max((n + 1 / 3) * q + 1 / 3, 1.0), float(n))


def value_of(index: int) -> float:
    """The value of a bucket in s."""
    return 0.0 if index == 0 else 2 * _GAMMA ** (index + _LOWEST) / (_GAMMA + 1)
