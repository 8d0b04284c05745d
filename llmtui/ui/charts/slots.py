"""Where the backends stand that share a part of the horizontal axis, and the vertical strokes that they have there."""

from __future__ import annotations

import functools
from collections.abc import Iterator


@functools.lru_cache(maxsize=4096)
def places_of(
    index: int, series: int, rank: int, backends: int, count: int, columns: int, beside: int = 0
) -> tuple[int, ...]:
    """The columns of one of `count` parts of an axis, the ones to try first for this backend in front.

    Backends are side by side in the order of the plan; without room for that, by their `rank`. Each has `beside` cells
    for a figure on its right, which have to have room.
    """
    start, end = index * columns // count, (index + 1) * columns // count
    wide = max(1, end - start)
    if wide >= backends:
        # Side by side in the middle, in the order of the plan.
        apart = min(2 + beside, wide // backends)
        first = (wide - apart * (backends - 1) - 1 - beside) // 2 + apart * series
    else:
        first = rank % wide
    return tuple(min(columns - 1, start + (first + step) % wide) for step in range(wide))


def stroke(low: float, high: float) -> Iterator[tuple[int, str]]:
    """Yield the rows of a vertical stroke from `low` to `high` (in rows), each with its sign. Its ends have half rows.

    The lower and the upper half of a row: from one half below its middle to one half above it.
    """
    bottom, top = round(2 * low), round(2 * high)
    for row in range(bottom // 2, top // 2 + 1):
        halves = (bottom < 2 * row <= top, bottom <= 2 * row < top)
        if any(halves):
            yield row, "│" if all(halves) else "╷" if halves[0] else "╵"
