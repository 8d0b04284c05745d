"""The value axes of the charts: which cell a value falls on, and the ticks with their labels."""

from __future__ import annotations

import dataclasses
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
        """The ticks as text, with as many decimals as the step needs."""
        digits = next((d for d in range(12) if abs(round(self.step, d) - self.step) < self.step * 1e-6), 12)
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
        return [f"{t:.6f}".rstrip("0").rstrip(".") if t < 1e6 else f"{t:g}" for t in self.ticks]

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
#: Steps of the value axis within a power of ten, with penalties: odd steps must fit clearly tighter.
_STEPS = ((1.0, 1.0), (1.5, 1.15), (2.0, 1.0), (2.5, 1.05), (3.0, 1.15), (4.0, 1.1), (5.0, 1.0))
#: Cells from tick to tick on a horizontal axis.
_ACROSS = range(8, 17)


def scale_for(low: float, high: float, cells: int, headroom: int = 0, *, across: bool = False) -> Scale:
    """Return the tightest scale with round ticks that shows `low` to `high`, with `headroom` cells left above `high`.

    It starts at zero, unless the values are so close together that zero would leave most cells empty. A horizontal
    axis (`across`) need not start at zero, as positions are compared and not lengths; its labels are side by side.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= 0:
        low, high = 0.0, 1.0
    if low < (0.0 if across else 0.6 * high):
        low = 0.0
    if (short := LEAST_SPAN * high - (high - low)) > 0:
        low, high = low - short / 2, high + short / 2
    span = high - low
    power = math.floor(math.log10(span)) - 1
    spacing = _ACROSS if across else range(2, 6) if cells >= 8 else range(1, 4)
    best: tuple[float, Scale] | None = None
    for every, exponent in itertools.product(spacing, (power - 1, power, power + 1)):
        for factor, penalty in _STEPS:
            step = factor * 10.0**exponent
            scale = Scale(math.floor(low / step + 1e-9) * step, step, every, cells)
            if (high - scale.low) / scale.per_cell + headroom > cells - 0.6:
                continue
            cost = (scale.high - scale.low) * penalty
            if best is None or cost < best[0]:
                best = (cost, scale)
    return best[1] if best else Scale(0.0, high, max(1, cells - 1), cells)


def _round_values(low: float, high: float, mantissas: Sequence[float]) -> Iterator[float]:
    """Yield every mantissa times a power of ten, from just below `low` to just above `high`."""
    power = math.floor(math.log10(low)) - 1
    last: float | None = None
    for exponent in itertools.count(power):
        for mantissa in mantissas:
            value = mantissa * 10.0**exponent
            if value <= low * (1 + 1e-9):
                last = value
                continue
            if last is not None:
                yield last
                last = None
            yield value
            if value >= high * (1 - 1e-9):
                return


def log_scale_for(values: Sequence[float], cells: int, headroom: int = 0, *, across: bool = False) -> LogScale:
    """Return a logarithmic scale that shows the positive `values`, with at least two round ticks.

    A vertical one begins at a tick below them, so that the smallest bar is visible.
    """
    positive = [v for v in values if v > 0 and math.isfinite(v)]
    low, high = (min(positive), max(positive)) if positive else (0.1, 1.0)
    room = cells - headroom
    most = max(2, (cells // 9 if across else cells // 2) + 1)
    ticks: list[float] = []
    for mantissas in (*(((1, 1.5, 2, 3, 4, 6),) if across else ()), (1, 2, 5), (1, 3), (1,)):
        ticks = list(_round_values(low, high, mantissas))
        if len(ticks) <= most:
            break
    thin = -(-len(ticks) // most)
    if sum(tick <= high for tick in ticks) > 1:
        ticks = [tick for tick in ticks if tick <= high]
    else:
        high = ticks[-1]
    if across and sum(tick >= low for tick in ticks) > 1:
        ticks = [tick for tick in ticks if tick >= low]
    else:
        low = ticks[0]
    if headroom and room > 1:
        high = low * (high / low) ** ((cells - 1) / (room - 1))
    return LogScale(low, high, cells, ticks[::thin])


def one_stands_apart(medians: Sequence[float], ratio: float = LOG_FROM) -> bool:
    """Return whether one of the medians is at least `ratio` times all others, or at most 1/`ratio` of them."""
    ordered = sorted(m for m in medians if m > 0 and math.isfinite(m))
    return len(ordered) > 1 and (ordered[-1] >= ratio * ordered[-2] or ordered[1] >= ratio * ordered[0])
