"""Many values in ascending order, to which one more can be added at any time."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence
from typing import Protocol

from llmtui.stats.summary import Spread, spread_of, units

#: So many values wait unsorted at most, until somebody asks or there are more.
WAITING = 256
#: From so many on, merging is cheaper than inserting one by one.
_MERGE_FROM = 16
#: From so many on, values are put on the shelf, where there is one.
SHELVED_FROM = 8192


class Shelf(Protocol):
    """A place outside of memory for one array of floats."""

    def put(self, values: array[float]) -> bool:
        """Keep these in place of those before; False where that cannot be, and nothing is kept any more."""

    def all(self) -> array[float]:
        """What was put last."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> float: ...


class _Joined(Sequence[float]):
    """Values on a shelf and some more, as one ascending sequence."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        #: What came since, ascending.
        self.more: list[float] = []
        #: Of each of `more`: its place among all.
        self._places: list[int] = []

    def add(self, value: float) -> None:
        """One more, put in its place."""
        at = bisect.bisect_right(self.more, value)
        self.more.insert(at, value)
        place = bisect.bisect_right(self._shelf, value) + at
        self._places[at:] = [place, *(later + 1 for later in self._places[at:])]

    def __len__(self) -> int:
        return len(self._shelf) + len(self.more)

    def __getitem__(self, at: int) -> float:  # type: ignore[override]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        # The first of `more` at or behind this place.
        low = bisect.bisect_left(self._places, at)
        if low < len(self.more) and self._places[low] == at:
            return self.more[low]
        return self._shelf[at - low]


class Sample:
    """Values in ascending order, 8 bytes each and none where there is a `shelf` for many, with their exact sums."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._joined: _Joined | None = None
        self._ordered = array("d")
        self._waiting = array("d")
        self._total = 0
        self._squares = 0

    def __len__(self) -> int:
        return (len(self._joined) if self._joined is not None else len(self._ordered)) + len(self._waiting)

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
        most = _MERGE_FROM if self._joined is None else WAITING - len(self._joined.more)
        if len(self._waiting) >= most:
            self._merge()
        if self._joined is not None:
            for value in self._waiting:
                self._joined.add(value)
            del self._waiting[:]
            return self._joined
        for value in self._waiting:
            bisect.insort(self._ordered, value)
        del self._waiting[:]
        return self._ordered

    def _merge(self) -> None:
        old, more = self._ordered, sorted(self._waiting)
        if self._joined is not None and self._shelf is not None:
            old = self._shelf.all()
            more = sorted([*self._joined.more, *more])
        # By slices: no float becomes an object on the way.
        merged, at = array("d"), 0
        for value in more:
            place = bisect.bisect_right(old, value, lo=at)
            merged.extend(old[at:place])
            merged.append(value)
            at = place
        merged.extend(old[at:])
        del self._waiting[:]
        self._ordered, self._joined = merged, None
        if self._shelf is not None and len(merged) >= SHELVED_FROM:
            if self._shelf.put(merged):
                self._ordered, self._joined = array("d"), _Joined(self._shelf)
            else:
                self._shelf = None

    def spread(self) -> Spread | None:
        """Location and spread of the values, None when there are none."""
        return spread_of(self.ordered, self._total, self._squares)
