"""Values by the place or the time of a request, in bounded memory: full detail at first, then in ever wider bins."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Collection, Iterator

#: The most bins.
MOST = 4096


class Means:
    """Means of values by request number, from 1 on. Up to `MOST` requests have a bin each."""

    def __init__(self) -> None:
        self._sums = array("d")
        self._counts = array("q")
        self.width = 1

    def add(self, number: int, value: float) -> None:
        """Add the value of a request. One that is negative or not finite is left out."""
        if not 0 <= value < math.inf:
            return
        place = (number - 1) // self.width
        while place >= MOST:
            self._widen()
            place = (number - 1) // self.width
        missing = place + 1 - len(self._sums)
        if missing > 0:
            self._sums.extend([0.0] * missing)
            self._counts.extend([0] * missing)
        self._sums[place] += value
        self._counts[place] += 1

    def _widen(self) -> None:
        self.width *= 2
        for name, kind in (("_sums", "d"), ("_counts", "q")):
            old = getattr(self, name)
            if len(old) % 2:
                old.append(0)
            setattr(self, name, array(kind, (a + b for a, b in zip(old[::2], old[1::2], strict=True))))

    def batches(self, size: int) -> list[float | None]:
        """The means of each `size` bins, from the first request on; None for those without values.

        Bins that do not fill a batch are left out.
        """
        whole = len(self._sums) // size * size
        return [self._mean(start, start + size) for start in range(0, whole, size)]

    def parts(self, first: int, last: int, count: int) -> list[float]:
        """The means of `count` equal parts of the requests `first` to `last`; empty if a part has no values."""
        low, high = (first - 1) // self.width, min((last - 1) // self.width + 1, len(self._sums))
        edges = [low + round(part * (high - low) / count) for part in range(count + 1)]
        means = [self._mean(a, b) for a, b in itertools.pairwise(edges)]
        return [mean for mean in means if mean is not None] if None not in means else []

    def _mean(self, low: int, high: int) -> float | None:
        n = sum(self._counts[low:high])
        return sum(self._sums[low:high]) / n if n else None


class Peaks:
    """The largest of some counts up to a time. Times (s) are off by a 2000th of the longest one at most."""

    def __init__(self) -> None:
        self._most = array("q")
        self.width_s = 1 / 64

    def add(self, at_s: float, value: int) -> None:
        """Note a count at a time. One that is negative or not finite is left out."""
        if not 0 <= at_s < math.inf:
            return
        place = int(at_s / self.width_s)
        while place >= MOST:
            self._widen()
            place = int(at_s / self.width_s)
        missing = place + 1 - len(self._most)
        if missing > 0:
            self._most.extend([0] * missing)
        self._most[place] = max(self._most[place], value)

    def _widen(self) -> None:
        self.width_s *= 2
        if len(self._most) % 2:
            self._most.append(0)
        self._most = array("q", map(max, self._most[::2], self._most[1::2]))

    def up_to(self, time_s: float) -> int:
        """The largest count until then, 0 without any."""
        return max(self._most[: self._place(time_s) + 1], default=0)

    def _place(self, time_s: float) -> int:
        return int(min(time_s / self.width_s, MOST))

    def course(self, width_s: float, from_s: float, to_s: float) -> Iterator[int]:
        """The largest counts in times of this width one after the other, between these.

        A time without a count has the one before it, which is the most there can be: a count is noted when it rises.
        """
        while self.width_s < width_s:
            self._widen()
        last = 0
        for place in range(self._place(to_s) + 1):
            last = (self._most[place] if place < len(self._most) else 0) or last
            if place >= self._place(from_s):
                yield last


def largest_sum(each: Collection[Peaks], from_s: float = 0.0, to_s: float = math.inf) -> int:
    """The most that several counts can be together at one moment between these: the largest ones of the same short
    time. Of one it is its largest count until `to_s`."""
    if len(each) == 1:
        return next(iter(each)).up_to(to_s)
    width_s = max((peaks.width_s for peaks in each), default=1.0)
    return max(map(sum, zip(*(peaks.course(width_s, from_s, to_s) for peaks in each), strict=True)), default=0)
