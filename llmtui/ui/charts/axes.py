"""The value axes of the charts: which cell a value falls on, and the ticks with their labels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence

#: A chart turns logarithmic if one backend is this many times all others; below the second ratio it turns back.
LOG_FROM, LOG_UNTIL = 10.0, 8.0


@dataclasses.dataclass(frozen=True)
class Scale:
    """A linear axis of `cells` cells with `low` at cell 0 and a tick, exactly on a cell, at every `every`-th."""

    low: float
    step: float
    every: int
    cells: int

    @property
    def per_cell(self) -> float:
        """The value of one cell."""
        return self.step / self.every

    @property
    def high(self) -> float:
        """The value of the last cell."""
        return self.low + self.per_cell * (self.cells - 1)

    @property
    def ticks(self) -> list[float]:
        """The labelled values."""
        return [self.low + i * self.step for i in range((self.cells - 1) // self.every + 1)]

    @property
    def labels(self) -> list[str]:
        """The ticks as text, with as many decimals as they need."""

        def exact(digits: int) -> bool:
            return all(abs(round(value, digits) - value) < self.step * 1e-6 for value in (self.step, self.low))

        digits = next((d for d in range(12) if exact(d)), 12)
        return [f"{t:.{digits}f}" for t in self.ticks]

    def at(self, value: float) -> float:
        """Return where a value falls, in cells from 0 on: between cells, or beyond the axis."""
        return (value - self.low) / self.per_cell

    def cell(self, value: float) -> int:
        """Return the cell of a value; the first or the last one for values beyond the axis."""
        return min(self.cells - 1, max(0, round(self.at(value))))

    def value(self, cell: float) -> float:
        """Return the value at a cell."""
        return self.low + cell * self.per_cell


@dataclasses.dataclass(frozen=True)
class LogScale:
    """A logarithmic axis from `low` at cell 0 to `high` at the last; values of 0 or less fall on the first."""

    low: float
    high: float
    cells: int
    ticks: list[float]

    @property
    def labels(self) -> list[str]:
        """The ticks as text."""
        return [f"{t:.9f}".rstrip("0").rstrip(".") if t < 1e6 else f"{t:.0f}" for t in self.ticks]

    def at(self, value: float) -> float:
        """Return where a value falls, in cells from 0 on: between cells, or beyond the axis."""
        if value <= 0:
            return 0.0
        return math.log(value / self.low) / math.log(self.high / self.low) * (self.cells - 1)

    def cell(self, value: float) -> int:
        """Return the cell of a value; the first or the last one for values beyond the axis."""
        return min(self.cells - 1, max(0, round(self.at(value))))

    def value(self, cell: float) -> float:
        """Return the value at a cell."""
        return float(self.low * (self.high / self.low) ** (cell / max(1, self.cells - 1)))


AnyScale = Scale | LogScale

#: An axis spans at least this share of its values, so that one point, or noise, gets no meaningless digits.
LEAST_SPAN = 0.02
#: An axis has at least this many labels, as far as its cells suffice.
LABELS = 3
#: Steps of the value axis within a power of ten, with penalties: odd steps must fit clearly tighter.
_STEPS = (
    (1.0, 1.0), (1.2, 1.15), (1.5, 1.1), (2.0, 1.0), (2.5, 1.05), (3.0, 1.1), (4.0, 1.05), (5.0, 1.0), (6.0, 1.15),
    (8.0, 1.15),
)  # fmt: skip
#: Those of an axis that begins near its lowest value. They are coarse, so that a new value seldom moves all points.
_COARSE_STEPS = ((1.0, 1.0), (2.0, 1.0), (2.5, 1.05), (4.0, 1.1), (5.0, 1.0))
#: Cells from tick to tick on a horizontal axis.
_ACROSS = range(8, 17)
#: From this many cells on, not every row of a vertical axis has a label.
_SPACED_FROM = 8
#: The most rows from label to label on a logarithmic axis.
_FURTHEST = 8
#: How far a label may be from the value of its cell, in cells.
_EXACT = 1 / 20


def labelled_cells(cells: int) -> int:
    """How many of `cells` rows a vertical axis takes so that its first and last row have a label, with more between.

    At most one row is left: an axis of 12 rows has no round step from the first row to the last.
    """
    return cells if cells < LABELS or _spacings(cells) else cells - 1


def _spacings(cells: int) -> list[int]:
    """The distances between labels that fit between the first and the last of `cells` rows."""
    least = 1 + (cells >= _SPACED_FROM)
    return [every for every in range(least, (cells - 1) // (LABELS - 1) + 1) if (cells - 1) % every == 0]


@functools.lru_cache(maxsize=64)
def scale_for(low: float, high: float, cells: int, *, zero: bool = False, across: bool = False) -> Scale:
    """Return the tightest scale with round ticks that shows `low` to `high`, from 0 on if `zero`.

    The first and the last cell of a vertical one have a tick, so it may take a cell less than `cells`. A horizontal
    one (`across`) has all cells, and space for its labels side by side.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= 0:
        low, high = 0.0, 1.0
    if zero or low < 0:
        low = 0.0
    elif (short := LEAST_SPAN * high - (high - low)) > 0:
        low, high = low - short / 2, high + short / 2
    if across:
        spacing: Sequence[int] = [every for every in _ACROSS if every * (LABELS - 1) < cells]
        spacing = spacing or range(max(1, (cells - 1) // (LABELS - 1)), _ACROSS[0])
    else:
        cells = labelled_cells(cells)
        spacing = _spacings(cells) or [max(1, cells - 1)]
    power = math.floor(math.log10(high - low)) - 1
    # One row has no step, but it also gets a short label.
    best = (math.inf, Scale(float(f"{low:.3g}"), float(f"{high - low:.2g}"), max(1, cells - 1), cells))
    room = cells - (0.6 if across else 1 - 1e-9)
    factors = _STEPS if zero or across or cells < _SPACED_FROM else _COARSE_STEPS
    # With few rows, an axis may begin half a step below a round value: the values get more of them.
    parts = (1, 2) if factors is _STEPS and not (zero or across) else (1,)
    for exponent, (factor, penalty), part in itertools.product(range(power - 1, power + 2), factors, parts):
        step = factor * 10.0**exponent
        begin = math.floor(low / step * part + 1e-9) * step / part
        for every in spacing:
            cost = step / every * penalty
            if cost < best[0] and high - begin <= room * step / every:
                best = (cost, Scale(begin, step, every, cells))
    return best[1]


def _round_values(low: float, high: float, mantissas: Sequence[float]) -> Iterator[float]:
    """Yield every mantissa times a power of ten from `low` to `high`."""
    for exponent in range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1):
        for mantissa in mantissas:
            if low * (1 - 1e-9) <= (value := mantissa * 10.0**exponent) <= high * (1 + 1e-9):
                yield value


def log_scale_for(values: Sequence[float], cells: int, *, across: bool = False) -> LogScale:
    """Return a logarithmic scale that shows the positive `values`, with round ticks, three at least.

    On a vertical one a power of ten is a whole number of cells (or a cell is a whole number of powers), so that ticks
    are at their true height; its top row has one.
    """
    positive = [v for v in values if v > 0 and math.isfinite(v)]
    low, high = (min(positive), max(positive)) if positive else (0.1, 1.0)
    if high < low * (1 + LEAST_SPAN):
        low, high = low / (1 + LEAST_SPAN / 2), high * (1 + LEAST_SPAN / 2)
    return _log_across(low, high, cells) if across else _log_upwards(low, high, cells)


def _log_across(low: float, high: float, cells: int) -> LogScale:
    most = max(LABELS, cells // 9)
    ticks: list[float] = []
    for mantissas in ((1, 1.5, 2, 3, 4, 6), (1, 2, 5), (1, 3), (1,)):
        ticks = list(_round_values(low, high, mantissas))
        if len(ticks) <= most:
            break
    if len(ticks) < LABELS:
        ticks = [tick for tick in scale_for(low, high, cells, across=True).ticks if low <= tick <= high]
    if len(ticks) < LABELS:
        ticks = [_shortest(low * (high / low) ** (part / 2), (high / low) ** (_EXACT / 2)) for part in range(LABELS)]
    return LogScale(low, high, cells, ticks[:: -(-len(ticks) // most)])


def _log_upwards(low: float, high: float, cells: int) -> LogScale:
    if cells < LABELS:
        ticks = [_shortest(value, 1 + LEAST_SPAN / 2) for value in (low, high)][:cells]
        return LogScale(low, high, cells, ticks)
    bottom, top = math.log10(low), math.log10(high)
    unit = (top - bottom) / (cells - 1)
    # The cells of a power of ten, or the powers of ten of a cell: the first that holds the values.
    finest = math.floor(1 / unit) if unit < 1 else 0
    units = itertools.chain((1 / n for n in range(finest, 0, -1)), itertools.count(1.0))
    for unit in units:
        first = math.floor(bottom / unit + 1e-9)
        if top / unit <= first + cells - 1 + 1e-9:
            break
    powers = [cell for cell in range(cells) if abs(round(unit * (first + cell)) - unit * (first + cell)) < 1e-9]
    thin = max(1, -(-len(powers) // max(1, cells // 2)))
    ticked = sorted({*powers[::-thin], cells - 1})
    if len(ticked) < LABELS and ticked[0] > (cells >= _SPACED_FROM):
        ticked.insert(0, 0)
    while len(ticked) < min(LABELS, cells) or max(b - a for a, b in itertools.pairwise(ticked)) > _FURTHEST:
        gap, start = max((b - a, a) for a, b in itertools.pairwise(ticked))
        ticked = sorted([*ticked, start + gap // 2])
    ticks = [_shortest(10 ** (unit * (first + cell)), 10 ** (unit * _EXACT)) for cell in ticked]
    return LogScale(10 ** (unit * first), 10 ** (unit * (first + cells - 1)), cells, ticks)


def _shortest(value: float, factor: float) -> float:
    """The number with the fewest digits that is within `factor` of `value`."""
    near = (float(f"{value:.{digits}g}") for digits in range(1, 17))
    return next((number for number in near if value / factor <= number <= value * factor), value)


def one_stands_apart(medians: Sequence[float], ratio: float = LOG_FROM) -> bool:
    """Return whether one of the medians is at least `ratio` times all others, or at most 1/`ratio` of them."""
    ordered = sorted(m for m in medians if m > 0 and math.isfinite(m))
    return len(ordered) > 1 and (ordered[-1] >= ratio * ordered[-2] or ordered[1] >= ratio * ordered[0])
