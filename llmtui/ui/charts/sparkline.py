"""The small plot in a panel and the large digits above it: a few cells each, drawn without plotext."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtui.config.schema import Marker
from llmtui.stats.course import Stretches
from llmtui.stats.summary import percentile
from llmtui.ui.text.spans import Line, Role

#: Cell grid of each marker: dots across and down.
GRID: dict[Marker, tuple[int, int]] = {"braille": (2, 4), "fhd": (2, 3), "dot": (1, 1), "ascii": (1, 1)}
_BRAILLE = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def _sextant(bits: int) -> str:
    """Return the block of two by three dots whose filled dots are `bits` (bit 0 upper left, then row by row)."""
    special = {0: " ", 0b010101: "▌", 0b101010: "▐", 0b111111: "█"}
    if bits in special:
        return special[bits]
    return chr(0x1FB00 + bits - 1 - (bits > 0b010101) - (bits > 0b101010))


def bit_of(x: int, y: int, marker: Marker) -> int:
    """Return the bit of the dot at column `x` and row `y` within its cell."""
    across, down = GRID[marker]
    return _BRAILLE[x % 2][y % 4] if marker == "braille" else 1 << (y % down * across + x % across)


def cell_of(bits: int, marker: Marker) -> str:
    """Return the character whose filled dots are `bits`."""
    if marker == "braille":
        return chr(0x2800 + bits)
    if marker == "fhd":
        return _sextant(bits)
    return "•" if marker == "dot" else "o"


def bands(
    points: Sequence[tuple[int, float]],
    stretches: Stretches,
    columns: int,
    count: int,
    shares: tuple[float, float, float] = (0.1, 0.5, 0.9),
) -> list[tuple[int, float, float, float]]:
    """The 10th percentile, the median and the 90th (or other `shares`) of each column's values, after the column.

    `count` iterations are spread over `columns`. `stretches` have some of the values if `points` have not all.
    """
    values: dict[int, list[float]] = {}
    for index, some in stretches or ((index, (value,)) for index, value in points):
        values.setdefault(index * columns // count, []).extend(some)
    low, middle, high = shares
    for some in values.values():
        some.sort()
    return [
        (column, percentile(some, low), percentile(some, middle), percentile(some, high))
        for column, some in values.items()
    ]


def sparkline(
    points: Sequence[tuple[int, float]],
    median: float | None,
    width: int,
    height: int,
    marker: Marker,
    role: Role,
    slots: int,
    *,
    stretches: Stretches = (),
    reach: float | None = None,
    extremes: bool = False,
) -> list[Line]:
    """Draw (index, value) points of `slots` indices in `width` by `height` cells, with a line at the median.

    With more than two points a column of dots, a column is filled from their 10th to their 90th percentile, or from the
    least to the greatest if `extremes`. The height is that of the values, or `reach` times the median above and below.
    """
    across, down = GRID[marker]
    dots_x, dots_y = width * across, height * down
    count = max(slots, 2)
    points = [p for p in points if math.isfinite(p[1])]
    if not points or width < 1 or height < 1:
        return [((" " * max(width, 0), ""),) for _ in range(height)]
    columns: list[tuple[int, float, float]]
    if stretches or len(points) > 2 * dots_x:
        shares = (0.0, 0.5, 1.0) if extremes else (0.1, 0.5, 0.9)
        columns = [(x, low, high) for x, low, _, high in bands(points, stretches, dots_x, count, shares)]
    else:
        columns = [(round(index / (count - 1) * (dots_x - 1)), value, value) for index, value in points]
    low = min(value for _, value, _ in columns)
    high = max(value for _, _, value in columns)
    if median is not None:
        low, high = min(low, median), max(high, median)
        if reach is not None and median > 0:
            low, high = median * (1 - reach), median * (1 + reach)
    # A spread below 2% of the value is drawn as a nearly flat line, not scaled up to the full height.
    least = abs(high) * 0.02 or 1.0
    if high - low < least:
        middle = (high + low) / 2
        low, high = middle - least / 2, middle + least / 2

    def row_of(value: float) -> int:
        return min(dots_y - 1, max(0, round((high - value) / (high - low) * (dots_y - 1))))

    cells: dict[tuple[int, int], int] = {}
    for x, bottom, top in columns:
        for y in range(row_of(top), row_of(bottom) + 1):
            at = (y // down, x // across)
            cells[at] = cells.get(at, 0) | bit_of(x, y, marker)
    median_row = row_of(median) // down if median is not None else -1
    lines: list[Line] = []
    for y in range(height):
        spans: list[tuple[str, Role]] = []
        for x in range(width):
            bits = cells.get((y, x))
            if bits:
                text, text_role = cell_of(bits, marker), role
            else:
                text, text_role = ("─", "rule") if y == median_row else (" ", "")
            if spans and spans[-1][1] == text_role:
                spans[-1] = (spans[-1][0] + text, text_role)
            else:
                spans.append((text, text_role))
        lines.append(tuple(spans))
    return lines


_DIGITS = {
    "0": ("╭─╮", "│ │", "╰─╯"),
    "1": (" ╷ ", " │ ", " ╵ "),
    "2": ("╶─╮", "╭─╯", "╰─╴"),
    "3": ("╶─╮", " ─┤", "╶─╯"),
    "4": ("╷ ╷", "╰─┤", "  ╵"),
    "5": ("╭─╴", "╰─╮", "╶─╯"),
    "6": ("╭─╴", "├─╮", "╰─╯"),
    "7": ("╶─╮", "  │", "  ╵"),
    "8": ("╭─╮", "├─┤", "╰─╯"),
    "9": ("╭─╮", "╰─┤", "╶─╯"),
    ".": (" ", " ", "."),
    "-": ("   ", "╶─╴", "   "),
}


def large_digits(text: str, suffix: str, width: int, role: Role) -> list[Line] | None:
    """Draw `text` in digits three rows high, with `suffix` after the last row; return None if both do not fit."""
    if any(c not in _DIGITS for c in text):
        return None
    rows = ["".join(_DIGITS[c][row] for c in text) for row in range(3)]
    if len(rows[0]) + 1 + len(suffix) > width:
        return None
    return [((rows[0], role),), ((rows[1], role),), ((rows[2], role), (f" {suffix}", "dim"))]
