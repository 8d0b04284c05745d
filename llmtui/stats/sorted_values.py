"""A sorted collection of many values that values can be added to."""

from __future__ import annotations

import bisect
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

    def __len__(self) -> int:
        return len(self._ordered) + len(self._waiting)

    def add(self, value: float) -> None:
        """Add one finite value."""
        self._waiting.append(value)
        exact = units(value)
        self._total += exact
        self._squares += exact * exact
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
