"""What of a turn's requests lies in its window: answers that ended, tokens that arrived, and the requests under way.

The window is known only when it has ended. A request that was sent in it lies in it whole if another one of the window
was sent after its end, so only answers that may straddle an edge are kept, about as many as are under way at a time.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

from llmtui.model import Iteration


class Totals(NamedTuple):
    """What lies in a window: answers that ended, output tokens that arrived, and s of requests under way (added up)."""

    ended: int
    tokens: float
    busy_s: float


class _Answer(NamedTuple):
    """A request that may straddle an edge, in s since the turn began."""

    end_s: float
    #: Breaks ties in a heap.
    number: int
    start_s: float
    ok: bool
    tokens: float
    arrivals_ns: array[int]
    arrival_tokens: Sequence[int]


class Edges:
    """Adds up samples of a turn as they end."""

    def __init__(self) -> None:
        self._ended = 0
        self._tokens = 0.0
        self._busy_s = 0.0
        self._settling: list[_Answer] = []
        self._window: list[_Answer] = []
        # No edge of the window is before these: the newest starts so far.
        self._settling_s = 0.0
        self._window_s = 0.0
        self._numbers = count()

    def add(self, sample: Iteration) -> None:
        """Add a sample, good or failed. A failed one without a latency was under way for no time."""
        if sample.share == "tail":
            return
        start_s, latency_s = sample.written_s or 0.0, sample.latency_s or 0.0
        answer = _Answer(
            start_s + (latency_s if 0 < latency_s < math.inf else 0.0),
            next(self._numbers),
            start_s,
            sample.ok,
            tokens_of(sample),
            array("q", sample.arrivals_ns if sample.ok else ()),
            tuple(sample.arrival_tokens) if sample.ok else (),
        )
        if sample.share == "window":
            self._window_s = max(self._window_s, start_s)
            heapq.heappush(self._window, answer)
            while self._window and self._window[0].end_s <= self._window_s:
                self._count(heapq.heappop(self._window))
        else:
            self._settling_s = max(self._settling_s, start_s)
            heapq.heappush(self._settling, answer)
            while self._settling and self._settling[0].end_s <= self._settling_s:
                heapq.heappop(self._settling)

    @property
    def kept(self) -> int:
        """How many answers are kept."""
        return len(self._settling) + len(self._window)

    def totals(self, from_s: float, to_s: float) -> Totals:
        """What lies in [from_s, to_s), which is the window of all samples so far."""
        kept = [*self._settling, *self._window]
        return Totals(
            self._ended + sum(answer.ok and from_s <= answer.end_s < to_s for answer in kept),
            self._tokens + sum(_tokens_within(answer, from_s, to_s) for answer in kept),
            self._busy_s + sum(max(0.0, min(a.end_s, to_s) - max(a.start_s, from_s)) for a in kept),
        )

    def _count(self, answer: _Answer) -> None:
        """Count an answer that lies in the window whole."""
        self._ended += answer.ok
        self._tokens += answer.tokens
        self._busy_s += answer.end_s - answer.start_s


def rate_of(counts: Mapping[int, float], windows: Mapping[int, tuple[float, float]]) -> float | None:
    """Return the rate (1/s) of what each worker counted in its own window, added up; None without windows.

    Each window is on the clock of its worker, so how far the clocks are apart is in no rate.
    """
    if not windows:
        return None
    each = (counts.get(worker, 0) / (high - low) for worker, (low, high) in windows.items() if high > low)
    return sum(each, 0.0)


def tokens_of(sample: Iteration) -> float:
    """The output tokens of a sample that were sent; without a count, those of its arrivals. 0 if it failed."""
    if not sample.ok:
        return 0.0
    if sample.output_tokens is None:
        return float(sum(sample.arrival_tokens))
    return float(max(0, sample.output_tokens - sample.hidden_tokens))


def _tokens_within(answer: _Answer, from_s: float, to_s: float) -> float:
    """The tokens of an answer that arrived in [from_s, to_s); all at its end if it was not streamed."""
    total = sum(answer.arrival_tokens)
    if not total:
        return answer.tokens if from_s <= answer.end_s < to_s else 0.0
    low, high = (from_s - answer.start_s) * 1e9, (to_s - answer.start_s) * 1e9
    pairs = zip(answer.arrivals_ns, answer.arrival_tokens, strict=True)
    return answer.tokens * sum(tokens for at, tokens in pairs if low <= at < high) / total
