"""The time line of a turn: strips one above the other over one axis of seconds.

Bars have eighths of a row, from 0 at the bottom of a strip to the label at its top. What went wrong stands as digits.
The line of the axis is heavy in the window, whose requests count.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from llmtui.runview.turn_course import Column
from llmtui.ui.charts.load_chart_data import TurnChart
from llmtui.ui.text.format import shape
from llmtui.ui.text.spans import TINTS, Line, Role, Span, fit, series_role

_EIGHTHS = " ▁▂▃▄▅▆▇█"
#: The ends of an axis within a power of ten.
_ENDS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
#: A strip ends this much above its largest value, so that strips do not touch.
_ABOVE = 1.04
#: The most cells of a second, and the seconds that have room before a second gets fewer.
_WIDEST, _USUAL_S = 4, 20
#: Columns from label to label.
_APART = 8
#: Columns of the titles and labels at the left.
_GUTTER = 1 + max(map(len, ("in flight", "tokens/s", "finished"))) + 6


@dataclasses.dataclass(frozen=True)
class _Strip:
    title: str
    role: Role
    values: Sequence[float]
    top: float
    rows: int


def draw_turn(chart: TurnChart, width: int, height: int) -> list[Line]:
    """Draw the strips, the axis with its labels, and a caption in `height` lines."""
    columns, size = _merged(chart, width - _GUTTER)
    wide = _wide(columns, width)
    lines = _all_strips(chart, columns, wide, height - 3)
    lines += _axis(chart, columns, size, wide, width)
    lines.append(_caption(chart, columns, size, width))
    return [fit(line, width) for line in lines]


def draw_low(chart: TurnChart, width: int, height: int) -> list[Line]:
    """Draw the strips of a turn in `height` lines, 2 or more: the seconds stand in the line of the axis.

    `words_below` has what the caption of a higher chart says.
    """
    columns, size = _merged(chart, width - _GUTTER)
    wide = _wide(columns, width)
    axis, labels = _axis(chart, columns, size, wide, width)
    lines = [*_all_strips(chart, columns, wide, height - 1), _labelled(axis, labels)]
    return [fit(line, width) for line in lines]


def words_below(chart: TurnChart, width: int) -> list[str]:
    """What is said of a chart of this width, the longest first."""
    columns, size = _merged(chart, width - _GUTTER)
    return _captions(chart, columns, size)


def _wide(columns: Sequence[Column], width: int) -> int:
    """The cells that a column of the turn has."""
    return max(1, min(_WIDEST, (width - _GUTTER) // max(_USUAL_S, len(columns))))


def _all_strips(chart: TurnChart, columns: Sequence[Column], wide: int, rows: int) -> list[Line]:
    """The bars, and below them the digits of what went wrong, in `rows` lines."""
    wrong = [(title, role, of) for title, role, of in _WRONG if any(of(column) for column in columns)]
    # Without room, a number in the caption is all.
    wrong = wrong[: max(0, rows - 3)]
    lines: list[Line] = []
    for strip in _strips(chart, columns, rows - len(wrong)):
        lines += _bars(strip, wide)
    for title, role, of in wrong:
        digits = "".join(_digit(of(column)).ljust(wide) for column in columns)
        lines.append(((f"{title:>{_GUTTER - 1}}", "dim"), ("│", "dim"), (digits, role)))
    return lines


_WRONG: tuple[tuple[str, Role, Callable[[Column], int]], ...] = (
    ("refused", "warn", lambda column: column.refused),
    ("failed", "bad", lambda column: column.failed),
)


def _merged(chart: TurnChart, room: int) -> tuple[list[Column], int]:
    """The columns, several as one if they have no room, and how many seconds each then has."""
    times = max(1, -(-len(chart.columns) // max(1, room)))
    if times == 1:
        return list(chart.columns), chart.size
    merged = []
    for start in range(0, len(chart.columns), times):
        some = chart.columns[start : start + times]
        flying = [column.in_flight for column in some if column.in_flight is not None]
        merged.append(
            Column(
                some[-1].share,
                sum(flying) / len(flying) if flying else None,
                sum(column.arrivals_per_s for column in some) / len(some),
                sum(column.finished for column in some),
                sum(column.refused for column in some),
                sum(column.failed for column in some),
            )
        )
    return merged, chart.size * times


def _strips(chart: TurnChart, columns: Sequence[Column], rows: int) -> list[_Strip]:
    """The strips that have room, and how many rows each has: most for tokens/s."""
    tint = series_role(chart.index, TINTS)
    every: list[tuple[str, Role, list[float]]] = [
        ("tokens/s", chart.role, [column.arrivals_per_s * chart.tokens for column in columns]),
        ("in flight", tint, [column.in_flight or 0.0 for column in columns]),
        ("finished", chart.role, [float(column.finished) for column in columns]),
    ][: max(1, rows)]
    heights = [rows // len(every)] * len(every)
    for n in range(rows - sum(heights)):
        heights[n] += 1
    if len(every) == 3 and heights[2] > 3:
        # How many finished says least: a part of its rows goes to the first one.
        moved = heights[2] // 2
        heights = [heights[0] + moved, heights[1], heights[2] - moved]
    return [
        _Strip(title, role, values, end_of(max(values, default=0.0)), high)
        for (title, role, values), high in zip(every, heights, strict=True)
    ]


def end_of(most: float) -> float:
    """The value at the top of a strip whose largest value is `most`: a round number above it."""
    if most <= 0:
        return 1.0
    most *= _ABOVE
    power = 10.0 ** math.floor(math.log10(most))
    return next(end * power for end in _ENDS if end * power >= most * (1 - 1e-9))


def _bars(strip: _Strip, wide: int) -> list[Line]:
    """The rows of a strip, its title and its labels on the left."""
    eighths = [round(8 * strip.rows * value / strip.top) for value in strip.values]
    lines: list[Line] = []
    for row in range(strip.rows - 1, -1, -1):
        top, bottom = row == strip.rows - 1, row == 0
        label = f"{strip.top:.6g}" if top else "0" if bottom else ""
        title = strip.title if top else ""
        margin = f"{title}{label:>{_GUTTER - 1 - len(title)}}{'┤' if label else '│'}"
        bars = "".join(
            _EIGHTHS[min(8, max(0, high - 8 * row))] * (wide - (wide > 2)) + " " * (wide > 2) for high in eighths
        )
        lines.append(((margin, "dim"), (bars, strip.role)))
    return lines


def _digit(count: int) -> str:
    return " " if not count else str(count) if count < 10 else "+"


def _axis(chart: TurnChart, columns: Sequence[Column], size: int, wide: int, width: int) -> tuple[Line, Line]:
    """The line of the axis, heavy in the window, and the seconds below it."""
    least = -(-_APART // wide) * size
    every = next(step * 10**power for power in range(9) for step in (1, 2, 5) if step * 10**power >= least)
    every = -(-every // size) * size
    signs = [("━" if column.share == "window" else "┄") * wide for column in columns]
    labels = [" "] * width
    for place in range(len(columns) + 1):
        second = chart.first * chart.size + place * size
        text = str(second)
        start = _GUTTER + place * wide
        if second % every == 0 and start + len(text) <= width:
            labels[start : start + len(text)] = text
            if place < len(columns):
                signs[place] = "┿" + signs[place][1:]
    spans: list[Span] = [(" " * (_GUTTER - 1) + "└", "dim")]
    for heavy, some in itertools.groupby(zip(columns, signs, strict=True), lambda pair: pair[0].share == "window"):
        spans.append(("".join(sign for _, sign in some), "strong" if heavy else "dim"))
    return tuple(spans), (("".join(labels), "dim"),)


def _labelled(axis: Line, labels: Line) -> Line:
    """The line of the axis with the seconds in it."""
    over = labels[0][0]
    spans: list[Span] = []
    start = 0
    for text, role in axis:
        below = over[start : start + len(text)].ljust(len(text))
        spans.append(("".join(sign if digit == " " else digit for sign, digit in zip(text, below, strict=True)), role))
        start += len(text)
    return tuple(spans)


def _captions(chart: TurnChart, columns: Sequence[Column], size: int) -> list[str]:
    refused, failed = (sum(of(column) for column in columns) for _, _, of in _WRONG)
    wrong = [f"{count} {word}" for count, word in ((refused, "refused"), (failed, "failed")) if count]
    tokens = f", {chart.tokens:.3g} tokens an arrival" if abs(chart.tokens - 1) > 0.005 else ""
    long = f"s since the turn began, {size} s a column{tokens}, ━ the window that counts"
    return [
        ", ".join([long, *wrong]),
        ", ".join([f"s, {size} s a column{tokens}, ━ window", *wrong]),
        ", ".join([f"{size} s a column", *wrong]),
    ]


def _caption(chart: TurnChart, columns: Sequence[Column], size: int, width: int) -> Line:
    texts = _captions(chart, columns, size)
    mark = shape(chart.index, chart.ascii_only)
    text = next((text for text in texts if len(text) + 2 <= width), texts[-1])
    blank = max(0, (width - len(text) - 2) // 2)
    return ((" " * blank, ""), (f"{mark} ", chart.role), (text, "dim"))
