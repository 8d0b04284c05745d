"""Which of many lines are in sight, and how many are not."""

from __future__ import annotations


def window(count: int, rows: int, at: int, first: int = 0) -> tuple[int, int]:
    """Return which `[start, end)` of `count` lines `rows` can show with line `at` in sight.

    `first` was the start so far: the window moves no further than it has to.
    """
    rows = max(1, rows)
    start = min(max(first, at - rows + 1), at, max(0, count - rows))
    return start, min(count, start + rows)


def out_of_sight(count: int, start: int, end: int) -> str:
    """How many of `count` lines are out of sight, as in "+8 more below"; empty if all are shown."""
    parts = [f"+{n} more {where}" for n, where in ((start, "above"), (count - end, "below")) if n > 0]
    return ", ".join(parts)
