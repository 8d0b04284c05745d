"""The k-th smallest of all averages of two values, or of all differences between two groups, without listing them all.

n values have n (n + 1) / 2 averages. Those up to a limit are counted in n log n steps. Limits on both sides of the k-th
are moved towards it until the few values between them can be listed: some ms for 2,000 values.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

#: This many sorted values stand for all of them to find the first limits.
_SKETCH = 64
#: Values between two limits are listed if there are at most this many for each given value, or at most `_FEWEST`.
_FEW = 2
_FEWEST = 3_000
_MOST_STEPS = 100


class _Limit(NamedTuple):
    """How many values are at most `limit`, and for each row of them the place of the first one beyond it."""

    limit: float
    upto: int
    places: list[int]


class _Selection:
    """`total` values from `least` on to `most`, any of which can be picked. `_sketch` are some of them, ascending."""

    def __init__(self, total: int, rows: int, least: float, most: float, sketch: list[float]) -> None:
        self.total = total
        self._few = max(_FEWEST, _FEW * rows)
        self._least, self._most = least, most
        self._sketch = sketch
        #: How many values are below those that were listed last, and these.
        self._listed: tuple[int, list[float]] = (0, [])

    def _at(self, limit: float) -> _Limit:
        raise NotImplementedError

    def _between(self, low: _Limit, high: _Limit) -> list[float]:
        raise NotImplementedError

    def kth(self, k: int) -> float:
        """The k-th smallest, from 1 on."""
        below, listed = self._listed
        if not below < k <= below + len(listed):
            low, high = self._around(k)
            if high.upto - low.upto > self._few:
                return min(high.limit, self._most)
            below, listed = self._listed = low.upto, sorted(self._between(low, high))
        return listed[k - below - 1]

    def _around(self, k: int) -> tuple[_Limit, _Limit]:
        """Two limits with few values between them, among which is the k-th; or any number of equal ones."""
        low, high = (self._at(limit) for limit in self._first(k))
        if low.upto >= k:
            low = self._at(-math.inf)
        if high.upto < k:
            high = self._at(math.inf)
        for step in range(_MOST_STEPS):
            inside = high.upto - low.upto
            if inside <= self._few:
                break
            # Aim a little below and a little above by turns, as if the values between were evenly apart.
            aside = (0.3 if step % 2 else -0.3) * self._few
            share = (k - low.upto + aside) / inside if step < _MOST_STEPS // 2 else 0.5
            start, stop = max(low.limit, self._least), min(high.limit, self._most)
            middle = start + (stop - start) * min(0.95, max(0.05, share))
            if not low.limit < middle < high.limit:
                break
            at = self._at(middle)
            low, high = (low, at) if at.upto >= k else (at, high)
        return low, high

    def _first(self, k: int) -> tuple[float, float]:
        if self.total <= self._few:
            return -math.inf, math.inf
        place, reach = len(self._sketch) * k // self.total, 1 + len(self._sketch) // 100
        low, high = place - reach, place + reach
        return (
            self._sketch[low] if low >= 0 else -math.inf,
            self._sketch[high] if high < len(self._sketch) else math.inf,
        )


class Averages(_Selection):
    """All averages of two of these values, each with itself too."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = sorted(values)
        n = len(self._values)
        few = _thinned(self._values)
        sketch = sorted((a + b) / 2 for i, a in enumerate(few) for b in few[i:])
        super().__init__(n * (n + 1) // 2, n, self._values[0], self._values[-1], sketch)

    def _at(self, limit: float) -> _Limit:
        values = self._values
        twice, n = 2 * limit, len(values)
        places = list(map(bisect_right, repeat(values), [twice - v for v in values], range(n)))
        return _Limit(limit, sum(places) - n * (n - 1) // 2, places)

    def _between(self, low: _Limit, high: _Limit) -> list[float]:
        values, listed = self._values, list[float]()
        for value, start, stop in zip(values, low.places, high.places, strict=True):
            if start < stop:
                listed += [(value + other) / 2 for other in values[start:stop]]
        return listed


class Differences(_Selection):
    """All differences of a value of `first` and one of `second`."""

    def __init__(self, first: Sequence[float], second: Sequence[float]) -> None:
        one, two = self._first_group, self._second_group = sorted(first), sorted(second)
        sketch = sorted(a - b for a in _thinned(one) for b in _thinned(two))
        super().__init__(len(one) * len(two), len(one) + len(two), one[0] - two[-1], one[-1] - two[0], sketch)

    def _at(self, limit: float) -> _Limit:
        places = list(map(bisect_left, repeat(self._second_group), [v - limit for v in self._first_group]))
        return _Limit(limit, self.total - sum(places), places)

    def _between(self, low: _Limit, high: _Limit) -> list[float]:
        listed: list[float] = []
        for value, stop, start in zip(self._first_group, low.places, high.places, strict=True):
            if start < stop:
                listed += [value - other for other in self._second_group[start:stop]]
        return listed


def _thinned(ordered: list[float]) -> list[float]:
    """At most `_SKETCH` of them, evenly by rank."""
    n = len(ordered)
    return ordered if n <= _SKETCH else [ordered[(2 * i + 1) * n // (2 * _SKETCH)] for i in range(_SKETCH)]
