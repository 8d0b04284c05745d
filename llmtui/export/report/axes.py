"""Value axes of the charts: where a value is, and the ticks. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

#: Values that are further apart than this factor get a logarithmic axis: on a linear one the small ones are one line.
LOG_FROM = 20.0
#: Axes that may leave out 0 do so if it would take more than this part of them.
_ZERO_BELOW = 1 / 3


class Axis(NamedTuple):
    """An axis from `low` to `high`, which are drawn at `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value is. One beyond the axis is at its end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def text(self, value: float) -> str:
        """Return a tick as text, with the decimals that tell it from its neighbours."""
        if self.log or len(self.ticks) < 2:
            return f"{value:.10g}"
        step = self.ticks[1] - self.ticks[0]
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def spread_out(values: Iterable[float]) -> bool:
    """Whether values need a logarithmic axis."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) >= LOG_FROM * min(positive)


def axis_of(
    values: Iterable[float], start: float, end: float, *, zero: bool = True, log: bool = False, most: int = 6
) -> Axis:
    """Return an axis for these values with at most `most` ticks, about.

    It begins at 0 with `zero`, else only if 0 is near. A logarithmic one needs positive values.
    """
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    if log and known:
        return _log_axis(min(known), max(known), start, end)
    low, high = min(known, default=0.0), max(known, default=1.0)
    if zero or low <= high * _ZERO_BELOW:
        low = min(low, 0.0)
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _step(high - low, most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * place for place in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def _step(span: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of 10 that makes at most `most` steps."""
    power: float = 10.0 ** math.floor(math.log10(span / most))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)


def _log_axis(least: float, most: float, start: float, end: float) -> Axis:
    low = _below(least)
    high = _below(most)
    high = high if high >= most * (1 - 1e-9) else _above(high)
    if high <= low:
        high = _above(low)
    ticks, tick = [low], low
    while tick < high * (1 - 1e-9):
        tick = _above(tick)
        ticks.append(tick)
    if len(ticks) > 7:
        # Powers of 10 alone, besides the ends.
        powers = [t for t in ticks[1:-1] if abs(math.log10(t) - round(math.log10(t))) < 1e-9]
        ticks = [ticks[0], *powers, ticks[-1]]
    return Axis(low, high, start, end, tuple(ticks), log=True)


def _below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of 10 that is at most `value`."""
    power: float = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return max(power * factor for factor in (1, 2, 5) if power * factor <= value * (1 + 1e-9))


def _above(tick: float) -> float:
    """The one after it."""
    power: float = 10.0 ** math.floor(math.log10(tick) + 1e-9)
    factor = round(tick / power)
    return power * {1: 2, 2: 5}.get(factor, 10)
