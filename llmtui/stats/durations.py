"""Durations of a turn: exact medians and percentiles of up to 50,000 values, and buckets of any number."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from llmtui.model import Percentiles
from llmtui.stats.buckets import Buckets, percentiles_of, type_8

#: Of more values than this, figures come from the buckets: they are off by 0.5% at most.
EXACT = 50_000


class Durations:
    """Values in s. Those that cannot be true are left out: NaN, infinite, and negative ones."""

    def __init__(self) -> None:
        self.buckets = Buckets()
        self.n = 0
        self.largest = 0.0
        self._exact: array[float] | None = array("d")

    def add(self, values: Iterable[float]) -> None:
        """Add values."""
        known = [value for value in values if 0 <= value < math.inf]
        if not known:
            return
        self.n += len(known)
        self.largest = max(self.largest, *known)
        self.buckets.add(known)
        if self._exact is not None:
            self._exact.extend(known)
            if self.n > EXACT:
                self._exact = None

    @property
    def median(self) -> float | None:
        """The median, None without values."""
        percentiles = self.percentiles
        return percentiles.p50 if percentiles is not None else None

    @property
    def p99(self) -> float | None:
        """The 99th percentile; the largest of too few values for it, None without any."""
        percentiles = self.percentiles
        if percentiles is None:
            return None
        return percentiles.p99 if percentiles.p99 is not None else self.largest

    @property
    def percentiles(self) -> Percentiles | None:
        """The percentiles that the number of values allows, None without values."""
        if self._exact is None:
            return self.buckets.percentiles()
        ordered = sorted(self._exact)

        def quantile(q: float) -> float:
            place = type_8(len(ordered), q) - 1
            low = ordered[math.floor(place)]
            return low + (ordered[math.ceil(place)] - low) * (place - math.floor(place))

        return percentiles_of(len(ordered), quantile)
