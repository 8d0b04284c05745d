"""Numbers, states and series as the monitor writes them: pure functions from model values to short text."""

from __future__ import annotations

import math

from llmtui.model import STATE_WORDS, State
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.ui.text.spans import Role

#: A sign beside the state's word, so that no state is told by colour alone; none of them is a backend's shape.
STATE_SIGNS: dict[State, str] = {
    "waiting": "·",
    "preparing": "…",
    "loading": "…",
    "ready": "»",
    "warmup": "▻",
    "running": "►",
    "done": "✓",
    "failed": "✗",
    "unreachable": "○",
    "missing": "○",
    "stopped": "□",
}
STATE_ROLES: dict[State, Role] = {
    "waiting": "dim",
    "preparing": "accent",
    "loading": "accent",
    "ready": "good",
    "warmup": "accent",
    "running": "good",
    "done": "good",
    "failed": "bad",
    "unreachable": "warn",
    "missing": "warn",
    "stopped": "warn",
}
#: One shape per backend, in its place in the plan; none is an emoji, all are one cell wide.
SHAPES = "●+×◆▲■◇△▽"
ASCII_SHAPES = "o+x*#@%&$"

#: In the place of the shape of a backend that the charts leave out.
HIDDEN_SIGN = "╌"
#: What an unfinished backend shows when its engine has gone.
LOST_SIGN = "✗"

DASH = "-"


def shape(index: int, ascii_only: bool = False) -> str:
    """The marker of the backend at `index` in the plan."""
    shapes = ASCII_SHAPES if ascii_only else SHAPES
    return shapes[index % len(shapes)]


def plus_minus(metric: MetricKey, stddev: float | None, room: int = 6, ascii_only: bool = False) -> str:
    """A standard deviation with its sign; empty where unknown. "~" would say disturbed: ASCII writes "+-"."""
    return f"{'+-' if ascii_only else '±'}{value_text(metric, stddev, room)}" if stddev is not None else ""


def state_word(state: State) -> str:
    """A state in words."""
    return STATE_WORDS[state]


def number(value: float | None, digits: int = 3, room: int = 6) -> str:
    """A number in at most `room` (6 or more) cells; a dash where unknown.

    `digits` decimals, fewer as it grows and more as it shrinks: two significant digits at least (0.00031, or 3.1e-4
    where that does not fit), unless `digits` is 0.
    """
    if value is None:
        return DASH
    size = abs(value)
    if digits and 0 < size < 10.0 ** (1 - digits):
        return _small(value, digits, room)
    if size >= 100_000:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    if size >= 1000:
        digits = 0
    elif size >= 100:
        digits = min(digits, 1)
    elif size >= 10:
        digits = min(digits, 2)
    return f"{value:.{digits}f}"


def _small(value: float, digits: int, room: int) -> str:
    whole, _, decimals = f"{value:.{1 - math.floor(math.log10(abs(value)))}f}".partition(".")
    text = f"{whole}.{decimals.rstrip('0').ljust(digits, '0')}"
    if len(text) <= room:
        return text
    short, _, exponent = f"{value:.1e}".partition("e")
    text = f"{short}e{int(exponent)}"
    return text if len(text) <= room else f"{value:.0e}".partition("e")[0] + f"e{int(exponent)}"


def scaled(metric: MetricKey, value: float | None) -> float | None:
    """A metric's value in the unit it is shown in: ITL in milliseconds, the rest as measured."""
    return value * METRICS[metric].scale if value is not None else None


def decimals(metric: MetricKey) -> int:
    """How many decimals a metric is worth."""
    return METRICS[metric].decimals


def value_text(metric: MetricKey, value: float | None, room: int = 6) -> str:
    """A metric's value in its own unit, without the unit, in at most `room` cells."""
    return number(scaled(metric, value), decimals(metric), room)


def unit(metric: MetricKey) -> str:
    """The unit that `value_text` speaks in."""
    return "tok/s" if METRICS[metric].rate else METRICS[metric].unit


def titled(metric: MetricKey) -> str:
    """A metric with its unit, as an axis or a table names it."""
    return METRICS[metric].titled


def clock(seconds: float) -> str:
    """A duration as mm:ss, or h:mm:ss from an hour on."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60:02}:{whole % 60:02}"


def memory(size_bytes: int | None) -> str:
    """Memory in MB, or GB from ten thousand MB on."""
    if size_bytes is None:
        return ""
    megabytes = size_bytes / 1e6
    return f"{megabytes:.0f} MB" if megabytes < 10_000 else f"{megabytes / 1000:.1f} GB"


def cores(value: float | None) -> str:
    """CPU use in cores."""
    return "" if value is None else f"{value:.1f} cores"


def percent(new: float, old: float) -> str:
    """The signed difference of `new` to `old` in percent of the old."""
    if not old:
        return ""
    change = round((new - old) / old * 100, 1)
    return f"{change:+.1f} %" if change else "0.0 %"
