"""Reads a drawn chart back into values: the glyphs of its cells, their roles, and the labels of its axes.

Heights are in rows, upwards, with 0 in the middle of the first line of the chart; so the line below is at -1. Columns
count from the left edge. What is read here is what an eye reads: nothing comes from the code that drew the chart.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from llmtui.ui.text.spans import Line

BLOCKS = "▁▂▃▄▅▆▇█"
#: How each statistic was filled before the bars had eighths, in the order of the columns.
FILLS = {"█": "mean", "▓": "median", "▒": "min", "░": "max"}
#: The statistics of a backend from left to right.
ORDER = ("median", "min", "mean", "max")
SHAPES = "●+×◆▲■◇△▽"
#: What the median of an earlier run is drawn with.
THIN = "⡀⠄⠂⠁"
BEYOND = "↑↓"
_TICK = re.compile(r"^( *)(-?[\d.]+%?)?([┤┼│└])")
_BRAILLE = ((0, 0x01), (1, 0x02), (2, 0x04), (0, 0x08), (1, 0x10), (2, 0x20), (3, 0x40), (3, 0x80))
_RIGHT = 0x08 | 0x10 | 0x20 | 0x80


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis as its labels say: (place, value), ascending, and straight lines between them."""

    ticks: tuple[tuple[float, float], ...]
    log: bool = False

    def value(self, place: float) -> float:
        """The value at a place: interpolated between the nearest labels, as a reader does."""
        (a, low), (b, high) = self._around(lambda tick: tick[0], place)
        share = (place - a) / (b - a)
        return float(low * (high / low) ** share) if self.log else low + share * (high - low)

    def place(self, value: float) -> float:
        """The place of a value."""
        (a, low), (b, high) = self._around(lambda tick: tick[1], value)
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return a + share * (b - a)

    def _around(self, key: object, at: float) -> tuple[tuple[float, float], tuple[float, float]]:
        pairs = list(itertools.pairwise(self.ticks))
        return next((pair for pair in pairs if key(pair[1]) >= at), pairs[-1])  # type: ignore[operator]


@dataclasses.dataclass(frozen=True)
class Mark:
    """A sample in the scatter: whose (None if several share the cell), where, and whether it is beyond the axis."""

    series: int | None
    column: float
    height: float
    glyph: str

    @property
    def beyond(self) -> bool:
        """Whether the mark says that the sample is outside the axis."""
        return self.glyph in BEYOND


class Cell(NamedTuple):
    """A character of the chart with its role."""

    column: int
    height: int
    glyph: str
    role: str

    @property
    def series(self) -> int | None:
        """The backend whose colour or tint this is."""
        return _series_of(self.role)


@functools.cache
def _series_of(role: str) -> int | None:
    return int(role[1:]) - 1 if re.fullmatch(r"[st]\d", role) else None


class Decoded:
    """A drawn chart as cells and axes. If `log`, its axis of values is logarithmic, which runs `across` or upwards."""

    def __init__(self, lines: Sequence[Line], log: bool = False, across: bool = False) -> None:
        self.rows: list[list[tuple[str, str]]] = [[(c, role) for text, role in line for c in text] for line in lines]
        self.texts = ["".join(c for c, _ in row) for row in self.rows]
        ticked = [(n, match) for n, text in enumerate(self.texts) if (match := _TICK.match(text))]
        #: The column of the value axis, and the line of the axis below.
        self.edge = ticked[0][1].start(3)
        self.base = next(n for n, text in enumerate(self.texts) if len(text) > self.edge and text[self.edge] in "└┼")
        labelled = [(-float(n), match[2]) for n, match in ticked if match[2] and n <= self.base]
        self.labels = [label for _, label in labelled]
        self.upwards = Axis(tuple((y, float(label.rstrip("%"))) for y, label in reversed(labelled)), log and not across)
        self.across = Axis(tuple(self._ticks_below()), log and across)

    def _ticks_below(self) -> list[tuple[float, float]]:
        """The labels below the horizontal axis, each with the column of its tick."""
        line, labels = self.texts[self.base], self.texts[self.base + 1]
        ticks = [n for n, c in enumerate(line) if c == "┬"]
        found = []
        for match in re.finditer(r"-?\d[\d.]*", labels):
            middle = match.start() + len(match[0]) // 2
            if ticks and (at := min(ticks, key=lambda tick: abs(tick - middle))) is not None:
                found.append((float(at), float(match[0])))
        return found

    @property
    def top(self) -> int:
        """The first line that has the value axis: the topmost row in which something can be drawn."""
        return next(n for n, text in enumerate(self.texts) if _TICK.match(text))

    def cells(self, base: bool = False) -> list[Cell]:
        """The cells right of the axis that are not blank, from the top; with the horizontal axis if `base`."""
        return self._cells if base else [cell for cell in self._cells if cell.height > -self.base]

    @functools.cached_property
    def _cells(self) -> list[Cell]:
        return [
            Cell(column, -n, glyph, role)
            for n, row in enumerate(self.rows[: self.base + 1])
            for column, (glyph, role) in enumerate(row)
            if glyph != " " and column > self.edge
        ]

    # --- Bars ---

    def bars(self) -> dict[int, dict[str, float]]:
        """The height of the upper edge of each backend's bars, by statistic."""
        tops: dict[int, tuple[Cell, float]] = {}
        for cell in self.cells(base=True):
            if cell.series is not None and cell.column not in tops and (edge := _edge(cell)) is not None:
                tops[cell.column] = (cell, edge)
        heights: dict[int, dict[str, float]] = {}
        filled = any(cell.glyph in "▓▒░" for cell, _ in tops.values())
        runs = itertools.groupby(
            sorted(tops.items()), lambda item: (item[1][0].role, FILLS[item[1][0].glyph] if filled else "")
        )
        for (_, fill), run in runs:
            (_, (cell, edge)), *_ = run
            assert cell.series is not None
            bars = heights.setdefault(cell.series, {})
            bars[fill or ORDER[len(bars)]] = edge
        return heights

    def ghosts(self) -> dict[int, float]:
        """The height of the thin line to the left of each backend's bars: the median of an earlier run."""
        firsts: dict[int, int] = {}
        for cell in self.cells(base=True):
            if cell.series is not None:
                firsts[cell.series] = min(cell.column, firsts.get(cell.series, cell.column))
        ghosts: dict[int, float] = {}
        for cell in self.cells(base=True):
            if cell.glyph in THIN and cell.role == "dim":
                right = {series: first for series, first in firsts.items() if first > cell.column}
                ghosts[min(right, key=right.__getitem__)] = _dots(cell)[0][1]
        return ghosts

    def figures(self) -> list[tuple[int, int, float, str]]:
        """The figures between the bars: first and last column, height, text."""
        return [
            (match.start(), match.end() - 1, -n, match[0])
            for n, text in enumerate(self.texts[: self.base])
            for match in re.finditer(r"\d[\d.e-]*", " " * (self.edge + 1) + text[self.edge + 1 :])
        ]

    # --- Scatter ---

    def marks(self) -> list[Mark]:
        """The samples of a scatter, from left to right: shapes, and the dots of braille."""
        marks = []
        for cell in self.cells():
            if cell.glyph in SHAPES or cell.glyph in BEYOND:
                marks.append(Mark(cell.series, cell.column, cell.height, cell.glyph))
            for right, height in _dots(cell):
                marks.append(Mark(cell.series, cell.column + (0.25 if right else -0.25), height, "dot"))
        return sorted(marks, key=lambda mark: mark.column)

    def bands(self) -> dict[int, list[tuple[int, float, float, float]]]:
        """The bands of a long run by backend: column, lower end, median, upper end."""
        columns: dict[tuple[int, int], list[Cell]] = {}
        for cell in self.cells():
            if cell.series is not None and (cell.glyph in SHAPES or cell.glyph in "│╵╷"):
                columns.setdefault((cell.series, cell.column), []).append(cell)
        bands: dict[int, list[tuple[int, float, float, float]]] = {}
        for (series, column), cells in sorted(columns.items()):
            if middle := next((cell for cell in cells if cell.glyph in SHAPES), None):
                low, high = cells[-1], cells[0]
                bottom = low.height - (0.5 if low.glyph == "│" else 0.0)
                top = high.height + (0.5 if high.glyph == "│" else 0.0)
                bands.setdefault(series, []).append((column, bottom, middle.height, top))
        return bands

    # --- Box plot and ECDF ---

    def boxes(self) -> dict[int, dict[str, float]]:
        """The columns of the ends and the median of each box, by backend."""
        boxes: dict[int, dict[str, float]] = {}
        for cell in self.cells():
            if cell.series is None:
                continue
            box = boxes.setdefault(cell.series, {"low": cell.column, "high": cell.column})
            box["low"] = min(box["low"], cell.column)
            box["high"] = max(box["high"], cell.column)
            if cell.glyph == "┃":
                box["median"] = cell.column
        return boxes

    def curves(self) -> dict[int, dict[int, tuple[float, float]]]:
        """The lowest and the highest place of each backend's curve in each column."""
        curves: dict[int, dict[int, tuple[float, float]]] = {}
        for cell in self.cells():
            if cell.series is not None:
                low, high = curves.setdefault(cell.series, {}).get(cell.column, (math.inf, -math.inf))
                curves[cell.series][cell.column] = (min(low, cell.height), max(high, cell.height))
        return curves


def _dots(cell: Cell) -> list[tuple[bool, float]]:
    """The dots of a cell: whether each is in the right column, and its height."""
    bits = ord(cell.glyph) - 0x2800
    if not 0 < bits < 256:
        return []
    return [(bool(bit & _RIGHT), cell.height + 0.375 - row / 4) for row, bit in _BRAILLE if bits & bit]


def _edge(cell: Cell) -> float | None:
    """The upper edge of a bar whose topmost cell this is, or the height of a point; None if it is neither."""
    if cell.glyph in BLOCKS:
        return cell.height - 0.5 + (BLOCKS.index(cell.glyph) + 1) / 8
    if cell.glyph in FILLS or cell.glyph == "▀":
        return cell.height + 0.5
    if cell.glyph == "━":
        return cell.height + 0.125
    return max((height for _, height in _dots(cell)), default=None)
