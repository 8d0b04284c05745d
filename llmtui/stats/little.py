"""Little's law as a check of the bookkeeping: two counts of the requests under way must agree.

L is what the worker counts when it reports how far it is: it adds 1 when it sends a request, and subtracts 1 when the
request has ended. X W is the number of samples that say of themselves, by when they were written and how long they
took, that they were under way at that moment. A sample that is lost, counted twice, or has wrong times is in one of
the two only.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable

from llmtui.model import Iteration

#: Of more moments than this, every second one is dropped.
MOST = 4096
#: The worker counts a request a little before it is written, and until it has read what follows the last token. Within
#: this time (s) of its start or end, a sample may be in the worker's count or not.
SLACK_S = 0.005


class Little:
    """Compares both counts at the moments at which the worker reports."""

    def __init__(self) -> None:
        self._at_s = array("d")
        self._counted = array("q")
        #: How many samples were surely under way, and how many may have been.
        self._sure = array("q")
        self._perhaps = array("q")
        self._every = 1
        self._pulses = 0

    def pulse(self, at_s: float, in_flight: int) -> None:
        """Note the worker's own count at a moment (s since the turn began), before the samples that end after it."""
        self._pulses += 1
        if self._pulses % self._every or (self._at_s and at_s <= self._at_s[-1]):
            return
        self._at_s.append(at_s)
        self._counted.append(in_flight)
        self._sure.append(0)
        self._perhaps.append(0)
        if len(self._at_s) > MOST:
            for name in ("_at_s", "_counted", "_sure", "_perhaps"):
                setattr(self, name, getattr(self, name)[::2])
            self._every *= 2

    def add(self, sample: Iteration) -> None:
        """Add a sample, good or failed."""
        start_s, latency_s = sample.written_s, sample.latency_s
        if start_s is None or latency_s is None or not 0 <= latency_s < math.inf:
            return
        self._count(self._perhaps, start_s - SLACK_S, start_s + latency_s + SLACK_S)
        self._count(self._sure, start_s + SLACK_S, start_s + latency_s - SLACK_S)

    def _count(self, counts: array[int], from_s: float, to_s: float) -> None:
        for place in range(bisect_left(self._at_s, from_s), bisect_left(self._at_s, to_s)):
            counts[place] += 1

    def apart(self, from_s: float, to_s: float) -> tuple[int, int]:
        """By how many requests the counts differ at the moments in [from_s, to_s), and how many the worker counted."""
        low, high = bisect_left(self._at_s, from_s), bisect_left(self._at_s, to_s)
        moments = zip(self._counted[low:high], self._sure[low:high], self._perhaps[low:high], strict=True)
        apart = sum(max(0, counted - perhaps) - max(0, sure - counted) for counted, sure, perhaps in moments)
        return abs(apart), sum(self._counted[low:high])

    def residual(self, from_s: float, to_s: float) -> float | None:
        """|L - X W| / L over the moments in [from_s, to_s); None if there was none with a request under way."""
        return share_apart([self.apart(from_s, to_s)])


def share_apart(counts: Iterable[tuple[int, int]]) -> float | None:
    """|L - X W| / L over the moments of several workers; None if none of them had a request under way."""
    pairs = list(counts)
    counted = sum(of for _, of in pairs)
    return sum(apart for apart, _ in pairs) / counted if counted else None
