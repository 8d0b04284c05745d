"""One metric over the iterations of an attempt, in bounded memory: what a scatter of them needs."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Iterator, Sequence

#: The most stretches of a course: more than a screen has columns.
STRETCHES = 400
#: The most values of a stretch that is complete.
VALUES = 8

Points = tuple[tuple[int, float], ...]
#: The place of each stretch's first iteration, and some of its values, ascending. They do not change.
Stretches = tuple[tuple[int, Sequence[float]], ...]


class Course:
    """One metric over the iterations: of each stretch the smallest and the largest value, and some between.

    A stretch is one iteration at first. Its length doubles whenever there would be more stretches than `limit`.
    """

    def __init__(self, limit: int = STRETCHES) -> None:
        self._limit = limit
        self._size = 1
        self._places = (array("Q"), array("Q"))
        self._values = (array("d"), array("d"))
        #: Of each stretch, from two iterations a stretch on.
        self._some: list[array[float]] = []

    def add(self, place: int, value: float) -> None:
        """Add the finite value of the iteration at `place`, which increases from call to call."""
        while place // self._size >= self._limit:
            self._halve()
        if self._size > 1:
            if not self._values[0] or self._places[0][-1] // self._size != place // self._size:
                if self._some:
                    self._some[-1] = _thin(self._some[-1], len(self._some))
                self._some.append(array("d"))
            bisect.insort(self._some[-1], value)
        self._put(place, value, place, value)

    def _put(self, low_at: int, low: float, high_at: int, high: float) -> None:
        (lows_at, highs_at), (lows, highs) = self._places, self._values
        if not lows or lows_at[-1] // self._size != low_at // self._size:
            lows_at.append(low_at)
            lows.append(low)
            highs_at.append(high_at)
            highs.append(high)
            return
        if low < lows[-1]:
            lows_at[-1], lows[-1] = low_at, low
        if high > highs[-1]:
            highs_at[-1], highs[-1] = high_at, high

    def _halve(self) -> None:
        old = list(zip(self._places[0], self._values[0], self._places[1], self._values[1], strict=True))
        some = self._some if self._size > 1 else [array("d", (value,)) for value in self._values[0]]
        self._size *= 2
        self._places = (array("Q"), array("Q"))
        self._values = (array("d"), array("d"))
        self._some = []
        for stretch, values in zip(old, some, strict=True):
            self._put(*stretch)
            if len(self._some) < len(self._values[0]):
                self._some.append(values)
            else:
                self._some[-1] = _thin(array("d", sorted((*self._some[-1], *values))), len(self._some))

    @property
    def points(self) -> Points:
        """(place, value) in the order of the places: all at first, later at most two of each stretch."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[tuple[int, float]]:
        for low_at, low, high_at, high in zip(
            self._places[0], self._values[0], self._places[1], self._values[1], strict=True
        ):
            if low_at == high_at:
                yield low_at, low
            else:
                yield from sorted(((low_at, low), (high_at, high)))

    @property
    def stretches(self) -> Stretches:
        """(place of the first iteration, some of the values, ascending) of each stretch; empty if `points` has all."""
        if self._size == 1:
            return ()
        starts = (place // self._size * self._size for place in self._places[0])
        # The last one still grows.
        shown = [*self._some[:-1], _thin(self._some[-1][:], len(self._some))]
        return tuple(zip(starts, shown, strict=True))


def _thin(ordered: array[float], number: int) -> array[float]:
    """At most `VALUES` of the ascending values, evenly by rank; the `number` of the stretch decides how to round."""
    step = -(-len(ordered) // VALUES)
    return ordered[(step - 1 + number % 2) // 2 :: step] if step > 1 else ordered
