"""A sorted collection of many values that values can be added to."""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Sequence

from llmtui.stats.summary import Spread, spread_of, units

#: The most values that wait to be merged.
WAITING = 256
#: From this number on, merging is cheaper than inserting one by one.
_MERGE_FROM = 16


class Sample:
    """Values in ascending order, 8 bytes each, with their exact sums."""

    def __init__(self) -> None:
        self._ordered = array("d")
        self._waiting = array("d")
        self._total = 0
        self._squares = 0
        self._cubes = 0

    def __len__(self) -> int:
        return len(self._ordered) + len(self._waiting)

    def add(self, value: float) -> None:
        """Add one finite value."""
        self._waiting.append(value)
        exact = units(value)
        self._total += exact
        square = exact * exact
        self._squares += square
        self._cubes += square * exact
        if len(self._waiting) > WAITING:
            self._merge()

    @property
    def ordered(self) -> Sequence[float]:
        """The values, ascending. Do not change them."""
        if len(self._waiting) >= _MERGE_FROM:
            self._merge()
        for value in self._waiting:
            bisect.insort(self._ordered, value)
        del self._waiting[:]
        return self._ordered

    def _merge(self) -> None:
        old, more = self._ordered, sorted(self._waiting)
        # Copy slices, so that the floats do not become objects.
        merged, at = array("d"), 0
        for value in more:
            place = bisect.bisect_right(old, value, lo=at)
            merged.extend(old[at:place])
            merged.append(value)
            at = place
        merged.extend(old[at:])
        del self._waiting[:]
        self._ordered = merged

    def spread(self) -> Spread | None:
        """Location and spread of the values, None without values."""
        return spread_of(self.ordered, self._total, self._squares)

    @property
    def skewness(self) -> float:
        """The third moment of the values around their mean, by the cube of their deviation; 0 if they are all equal."""
        n, total = len(self), self._total
        second = n * self._squares - total * total
        if second <= 0:
            return 0.0
        third = n * n * self._cubes - 3 * n * total * self._squares + 2 * total**3
        # Both are exact, of any size, and their ratio is a small number.
        size = math.sqrt(third * third / second**3)
        return size if third > 0 else -size
