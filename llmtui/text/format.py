"""Figures and counts as text, for the monitor, plain text and Markdown: one rule for the digits of every figure.

A figure has three significant digits or more, and never an exponent. A duration is in ms below 0.1 s, else in s.

The figures of a column have one unit and one number of decimals: those that its smallest figure needs to have three
digits. So the decimal points are in line, and no figure loses a digit: 0.5 ms and 6 s are `0.500` and `6000.000` under
a heading in ms. A figure on its own has its own unit: `0.500 ms`, `6.00 s`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

#: What is measured: a duration (shown in s or ms), a duration that is always shown in ms, a rate, a share, or energy.
Kind = Literal["s", "ms", "tokens/s", "requests/s", "share", "J/token"]
#: The unit on screen, in short.
Unit = Literal["s", "ms", "tok/s", "req/s", "%", "J/token"]

#: In place of a figure that is not known.
DASH = "-"
#: A duration below this one is shown in ms.
MS_BELOW_S = 0.1
_DIGITS = 3
_UNITS: dict[Kind, Unit] = {
    "ms": "ms",
    "tokens/s": "tok/s",
    "requests/s": "req/s",
    "share": "%",
    "J/token": "J/token",
}
_FACTORS: dict[Unit, float] = {"ms": 1e3, "%": 100.0}
#: No duration is shown finer than 0.1 us, and no rate finer than this many decimals.
_MOST_DECIMALS: dict[Unit, int] = {"s": 7, "ms": 4, "tok/s": 7, "req/s": 7, "%": 2, "J/token": 7}


class Scale(NamedTuple):
    """How the figures of a column are shown: their unit, and their decimals in it."""

    unit: Unit
    decimals: int

    @property
    def factor(self) -> float:
        """The factor from s (or a rate, or a share) to `unit`."""
        return _FACTORS.get(self.unit, 1.0)

    def text(self, value: float | None) -> str:
        """Format a value in s (or a rate), without its unit; `DASH` if it is None or not finite."""
        if value is None or not math.isfinite(value):
            return DASH
        return f"{value * self.factor:.{self.decimals}f}"


def unit_of(values: Iterable[float | None], kind: Kind) -> Unit:
    """The unit of a column of these values: ms if the smallest one, rounded to three digits, is below 0.1 s."""
    if kind != "s":
        return _UNITS[kind]
    least = _least(values)
    return "ms" if 0 < least < MS_BELOW_S and _rounded(least) < MS_BELOW_S else "s"


def scale_of(values: Iterable[float | None], kind: Kind, unit: Unit | None = None) -> Scale:
    """The scale of a column of these values, in s or tokens/s. `unit` is that of the columns beside it, if set."""
    known = list(values)
    unit = unit or unit_of(known, kind)
    least = _least(known) * _FACTORS.get(unit, 1.0)
    if least == 0:
        return Scale(unit, _DIGITS - 1)
    return Scale(unit, min(_MOST_DECIMALS[unit], max(0, _DIGITS - 1 - math.floor(math.log10(_rounded(least))))))


def figures(values: Iterable[float | None], kind: Kind, unit: Unit | None = None) -> tuple[Unit, list[str]]:
    """The unit of a column of these values, in s or tokens/s, and the text of each: see the top of this module."""
    known = list(values)
    scale = scale_of(known, kind, unit)
    return scale.unit, [scale.text(value) for value in known]


def figure(value: float | None, kind: Kind) -> str:
    """One value with its unit, as in "0.921 s", "69.0 ms" and "82.0 tok/s"; `DASH` if it is not known."""
    (text, unit) = figure_parts(value, kind)
    return text if text == DASH else f"{text} {unit}"


def figure_parts(value: float | None, kind: Kind) -> tuple[str, Unit]:
    """The text of one value, and its unit."""
    scale = scale_of([value], kind)
    return scale.text(value), scale.unit


def with_limits(scale: Scale, values: Iterable[float | None], limits: Iterable[float | None]) -> list[str]:
    """Figures of a column, each with its limit in parentheses: "1.20 (1.45)", with the points in line."""
    ends = ["" if limit is None else f" ({scale.text(limit)})" for limit in limits]
    room = max(map(len, ends), default=0)
    return [scale.text(value) + end.rjust(room) if end else DASH for value, end in zip(values, ends, strict=True)]


def lined_up(texts: Sequence[str]) -> list[str]:
    """Pad figures of different decimals on the right, so that the points are in line when they end a column."""
    ends = [len(text) - text.index(".") if "." in text else 0 for text in texts if text[:1].isdigit()]
    most = max(ends, default=0)
    return [text + " " * (most - ends.pop(0)) if text[:1].isdigit() else text for text in texts]


def plus_minus(half: float | None, unit: Unit) -> str:
    """Half the width of an interval, in s or tokens/s, as in "±0.014": two digits of `unit`; empty if not known."""
    if half is None or not math.isfinite(half):
        return ""
    size = half * (1e3 if unit == "ms" else 1.0)
    decimals = max(0, 1 - math.floor(math.log10(float(f"{size:.1e}")))) if size > 0 else 1
    return f"±{size:.{min(decimals, _MOST_DECIMALS[unit])}f}"


def at_point(text: str, whole: int = 4, decimals: int = 3) -> str:
    """Pad a figure so that the decimal points of several, one above the other, are in line."""
    before, point, after = text.partition(".")
    return before.rjust(whole) + (point + after).ljust(decimals + 1)


def percent_text(share: float) -> str:
    """A share in percent with two digits, as in "2.8%", "28%" and "280%"."""
    size = abs(100 * share)
    return f"{100 * share:.{0 if size >= 9.95 else 1 if size >= 0.995 else 2}f}%"


def count_text(value: float | None) -> str:
    """Format a count, or the median of counts; `DASH` if it is None."""
    return DASH if value is None else f"{value:.10g}"


def plural(count: int, word: str, ending: str = "s") -> str:
    """Return "1 token", "2 tokens"; with the ending "es" "2 launches"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}{ending}"


def left_out_text(count: int) -> str:
    """Say that this many values of samples are in no figure."""
    return f"{plural(count, 'impossible value')} left out (zero, negative or not a number)"


def loaded_text(count: int, of: int) -> str:
    """Say during how many samples the server loaded its model, so that they are in no figure."""
    return f"{count} of {plural(of, 'iteration')} left out: the server loaded its model meanwhile"


def milliseconds(value_s: float) -> str:
    """Format an error in ms: two decimals below 10, else three significant digits."""
    value = value_s * 1e3
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def _least(values: Iterable[float | None]) -> float:
    """The smallest magnitude above 0, 0 without one."""
    return min((abs(v) for v in values if v is not None and v and math.isfinite(v)), default=0.0)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS - 1}e}")
