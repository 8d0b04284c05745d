"""Made-up samples of a turn, and the same figures by brute force."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from llmtui.model import Failure, Iteration, Level
from tests.build import iteration

CLOSED = Level(number=1, streams=8)
OPEN = Level(number=1, rate=50.0)


def sample(
    number: int, share: str, written_s: float, arrivals_s: list[float], tokens: list[int] | None = None, **of: Any
) -> Iteration:
    """A good answer that was written at this time, whose tokens arrived so long after."""
    each = tokens or [1] * len(arrivals_s)
    later = sum(each) - each[0]
    decode_s = arrivals_s[-1] - arrivals_s[0]
    fast = len(arrivals_s) >= 4
    values: dict[str, Any] = {
        "latency_s": arrivals_s[-1],
        "ttft_s": arrivals_s[0],
        "ttfo_s": arrivals_s[0],
        "itl_s": decode_s / (len(arrivals_s) - 1) if fast else None,
        "tpot_s": decode_s / later if fast else None,
        "tokens_per_s": later / decode_s if fast else None,
        "output_tokens": sum(each),
        "arrivals_ns": [round(at * 1e9) for at in arrivals_s],
        "arrival_tokens": each,
    }
    return iteration(request=number, share=share, written_s=written_s, level=1, turn=1, **(values | of))


def failed(number: int, share: str, written_s: float, kind: str, age_s: float | None, **of: Any) -> Iteration:
    """A request that failed when it was so old."""
    error = Failure(kind=kind, message="it failed")  # type: ignore[arg-type]
    return iteration(
        request=number, share=share, written_s=written_s, latency_s=age_s, error=error, level=1, turn=1, **of
    )


def closed_turn(
    seed: int,
    streams: int = 8,
    settle: int = 16,
    window: int = 80,
    *,
    slow: Callable[[int], float] = lambda number: 1.0,
    failures: float = 0.0,
) -> tuple[list[Iteration], float, float]:
    """A closed loop that is right to the ns: its samples in the order in which they end, and its window."""
    rng = random.Random(seed)
    free = [rng.uniform(0, 0.1) for _ in range(streams)]
    heapq.heapify(free)
    made: list[tuple[float, Iteration]] = []
    window_from = window_to = None
    number, last_end = 0, 0.0
    while True:
        at = heapq.heappop(free)
        if window_to is None and window_from is not None and number >= settle + window:
            window_to = at
        if window_to is not None and at >= last_end:
            break
        number += 1
        if number > settle and window_from is None:
            window_from = at
        share = "settling" if window_from is None else "window" if window_to is None else "tail"
        first = rng.uniform(0.02, 0.06)
        gaps = [slow(number) * rng.uniform(0.02, 0.04) for _ in range(rng.randint(3, 20))]
        arrivals = list(itertools.accumulate(gaps, initial=first))
        if rng.random() < failures:
            made.append((at + first, failed(number, share, at, "http", first, in_flight=streams)))
        else:
            made.append((at + arrivals[-1], sample(number, share, at, arrivals, in_flight=streams)))
        if share == "window":
            last_end = max(last_end, made[-1][0])
        heapq.heappush(free, made[-1][0])
    assert window_from is not None and window_to is not None
    return [of for _, of in sorted(made, key=lambda pair: pair[0])], window_from, window_to


def within(samples: list[Iteration], from_s: float, to_s: float) -> tuple[int, float, float]:
    """Ends, tokens and s of requests under way in a window, with all samples at hand."""
    ended = sum(s.ok and from_s <= (s.written_s or 0) + (s.latency_s or 0) < to_s for s in samples)
    tokens = 0.0
    busy = 0.0
    for s in samples:
        start, end = s.written_s or 0.0, (s.written_s or 0.0) + (s.latency_s or 0.0)
        busy += max(0.0, min(end, to_s) - max(start, from_s))
        for at, count in zip(s.arrivals_ns, s.arrival_tokens, strict=True):
            tokens += count * (from_s <= start + at / 1e9 < to_s)
    return ended, tokens, busy
