"""Format numbers, states and series as the short text that the monitor draws."""

from __future__ import annotations

from llmtui.model import STATE_WORDS, State
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.text.format import Unit, figure, figure_parts
from llmtui.ui.text.spans import Role, clip_name

#: A sign in front of the state's word, so that a state never depends on colour; none is also a backend's shape.
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
#: A mark for each backend, by its index in the plan. None is an emoji, all are one cell wide.
#: From the tenth on they are letters, but for those that are shapes or signs in ASCII.
SHAPES = "●+×◆▲■◇△▽abcdefghijklmnpqrstuwyz"
ASCII_SHAPES = "o+x*#@%&$abcdefghijklmnpqrstuwyz"

#: The most characters of a name that are looked at.
_LONGEST_NAME = 400

#: Replaces the shape of a hidden backend.
HIDDEN_SIGN = "╌"
#: The sign of a backend whose engine exited before it was done.
LOST_SIGN = "✗"


def shape(index: int, ascii_only: bool = False) -> str:
    """Return the shape of the backend at `index` in the plan."""
    shapes = ASCII_SHAPES if ascii_only else SHAPES
    return shapes[index % len(shapes)]


def with_unit(metric: MetricKey, value: float | None) -> str:
    """Format one value of a metric with its unit, as in "0.921 s"."""
    return figure(value, METRICS[metric].unit)


def parts_of(metric: MetricKey, value: float | None) -> tuple[str, Unit]:
    """Format one value of a metric, and return its unit."""
    return figure_parts(value, METRICS[metric].unit)


def name_text(name: str, width: int = 40) -> str:
    """The name of a backend as plain text in at most `width` cells; it is cut in its middle."""
    return clip_name(sanitize(name, _LONGEST_NAME), width)


def state_word(state: State) -> str:
    """Return a state in words."""
    return STATE_WORDS[state]


def clock(seconds: float) -> str:
    """Format a duration as mm:ss, or as h:mm:ss from one hour on."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60:02}:{whole % 60:02}"


def memory(size_bytes: int | None) -> str:
    """Format a size in MB, or in GB from 10 000 MB on; empty if unknown."""
    if size_bytes is None:
        return ""
    megabytes = size_bytes / 1e6
    return f"{megabytes:.0f} MB" if megabytes < 10_000 else f"{megabytes / 1000:.1f} GB"


def cores(value: float | None) -> str:
    """Format CPU usage in cores; empty if unknown."""
    return "" if value is None else f"{value:.1f} cores"


def percent(new: float, old: float) -> str:
    """Format the signed change from `old` to `new` in percent; empty if `old` is 0."""
    if not old:
        return ""
    change = round((new - old) / old * 100, 1)
    return f"{change:+.1f}%" if change else "0.0%"
