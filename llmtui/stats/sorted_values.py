"""Many values in ascending order, to which one more can be added at any time."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence

from llmtui.stats.summary import Spread, spread_of, units

#: So many values wait unsorted at most, until somebody asks or there are more.
WAITING = 256
#: From so many on, merging is cheaper than inserting one by one.
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
        """Take in one finite value."""
        self._waiting.append(value)
        exact = units(value)
        self._total += exact
        self._squares += exact * exact
        if len(self._waiting) > WAITING:
            self._merge()

    @property
    def ordered(self) -> Sequence[float]:
        """The values, ascending. Not to be changed."""
        if len(self._waiting) >= _MERGE_FROM:
            self._merge()
        for value in self._waiting:
            bisect.insort(self._ordered, value)
        del self._waiting[:]
        return self._ordered

    def _merge(self) -> None:
        old, more = self._ordered, sorted(self._waiting)
        # By slices: no float becomes an object on the way.
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
        """Location and spread of the values, None when there are none."""
        return spread_of(self.ordered, self._total, self._squares)
