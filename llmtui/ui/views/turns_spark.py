"""The turns of a backend at one level on one line: a bar for each round, and a hollow cell for the one under way."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtui.ui.text.spans import Role, Span

#: From the lowest bar to the highest.
_BARS = "▁▂▃▄▅▆▇█"
#: A round without a value, the one under way, and one to come.
_MISSING, _UNDER_WAY, _TO_COME = "×", "○", "·"


def turns_spark(
    points: Sequence[tuple[int, float]], measured: int, planned: int, width: int, role: Role, under_way: bool = False
) -> list[Span]:
    """Draw `measured` of `planned` rounds in at most `width` cells, the newest ones if not all fit.

    `points` are (index of the round from 0 on, value). A bar is as high as its value, from 0 on, so that a steady
    server has bars of one height.
    """
    total = max(planned, measured + under_way)
    if width < 1 or total < 1:
        return []
    end = min(total, max(width, measured + under_way))
    start = max(0, end - width)
    values = {index: value for index, value in points if start <= index < end and math.isfinite(value) and value > 0}
    top = max(values.values(), default=1.0)
    done = "".join(
        _BARS[max(0, round(values[index] / top * len(_BARS)) - 1)] if index in values else _MISSING
        for index in range(start, min(measured, end))
    )
    spans: list[Span] = [(done, role)] if done else []
    if under_way and measured < end:
        spans.append((_UNDER_WAY, "accent"))
    if (rest := end - max(start, measured + under_way)) > 0:
        spans.append((_TO_COME * rest, "dim"))
    return spans
