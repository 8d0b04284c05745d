"""A plot with a value axis at its left, and lines and marks of the backends: what all charts but bars are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmtui.export.report.axes import Axis
from llmtui.export.report.svg import (
    LETTER,
    WIDTH,
    dash_of,
    drawing,
    figure,
    label,
    legend,
    line,
    mark,
    number,
    series_class,
)

HEIGHT = 250.0
#: Room right of the plot, and below it for the ticks and the title of the axis.
_RIGHT = 10.0
_BELOW = 38.0
#: The least distance of two labels below the plot.
_BETWEEN = 10.0


class Point(NamedTuple):
    """A value with the ends of its interval, None without one. `tip` is it in words."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tip: str = ""
    #: The line that it is on: only points of one line are joined.
    line: str = ""
    #: What stands beside it.
    name: str = ""


class Series(NamedTuple):
    """What is drawn of the backend at the place `backend` in the plan. `second`: hollow marks and thin lines."""

    backend: int
    name: str
    points: tuple[Point, ...]
    joined: bool = True
    second: bool = False


class Ticks(NamedTuple):
    """The places below the plot that have a label, from left to right, and what they count."""

    places: tuple[tuple[float, str], ...]
    title: str


class Strip(NamedTuple):
    """An interval of a backend below the plot, such as that of a knee. `at` is its value if that is known."""

    backend: int
    at: float | None
    low: float
    high: float
    tip: str


def left_of(texts: Sequence[str]) -> float:
    """Return the room that the labels of a value axis need."""
    return 14.0 + LETTER * max(map(len, texts), default=1)


def draw(
    title: str,
    series: Sequence[Series],
    down: Axis,
    across: Axis,
    ticks: Ticks,
    *,
    unit: str,
    note: str = "",
    limit: tuple[float, str] | None = None,
    strips: Sequence[Strip] = (),
    strip_title: str = "",
) -> str:
    """Return the figure. The axes are in units of the view box below the legend; `limit` is a value with its name."""
    names = list(dict.fromkeys((one.backend, one.name) for one in series))
    head, above = legend(names)
    bottom = max(down.start, down.end)
    parts = [_grid(down, across), *_labels(ticks, bottom, across)]
    if limit is not None:
        at = down.at(limit[0])
        left, right = across.start, across.end
        parts.append(line([(left, at), (right, at)], "limit", "6 4"))
        # Its name stands above the plot, where no mark can be.
        parts.append(label(right, -2, limit[1], "limit-name", "end"))
        sample = right - 6 - LETTER * len(limit[1])
        parts.append(line([(sample - 24, -6), (sample, -6)], "limit", "6 4"))
    for one in series:
        parts.append(_of_series(one, down, across))
    room = HEIGHT + _BELOW
    if strips:
        parts.append(label(across.start, room + 12, strip_title, "axis"))
        for place, strip in enumerate(strips):
            parts.append(_strip(strip, across, room + 26 + 14 * place))
        room += 26 + 14 * len(strips)
    body = f'{head}<g transform="translate(0 {number(above + 12)})">{label(0, -2, unit, "axis")}{"".join(parts)}</g>'
    return figure(title, drawing(above + 12 + room, body, title), note)


def _grid(down: Axis, across: Axis) -> str:
    parts = []
    for tick in down.ticks:
        y = down.at(tick)
        parts.append(line([(across.start, y), (across.end, y)], "grid" if tick != down.low else "base"))
        parts.append(label(across.start - 6, y + 4, down.text(tick), "tick", "end"))
    return "".join(parts)


def _labels(ticks: Ticks, bottom: float, across: Axis) -> list[str]:
    """Those labels below the plot that have room, evenly chosen, and the title."""
    widest = LETTER * max((len(text) for _, text in ticks.places), default=1) + _BETWEEN
    room = max(1, int((across.end - across.start) / widest))
    every = -(-len(ticks.places) // room)
    shown = ticks.places[::every]
    parts = [label(across.at(x), bottom + 16, text, "tick", "middle") for x, text in shown]
    return [*parts, label((across.start + across.end) / 2, bottom + 32, ticks.title, "axis", "middle")]


def _of_series(one: Series, down: Axis, across: Axis) -> str:
    colour = series_class(one.backend)
    parts = []
    if one.joined:
        for name in dict.fromkeys(point.line for point in one.points):
            places = [(across.at(p.x), down.at(p.y)) for p in one.points if p.line == name]
            if len(places) > 1:
                dash = "2 3" if one.second else dash_of(one.backend)
                parts.append(line(places, f"{'thin' if one.second else 'thick'} {colour}", dash))
    for point in one.points:
        x = across.at(point.x)
        if point.low is not None and point.high is not None:
            ends = down.at(point.low), down.at(point.high)
            parts.append(line([(x, ends[0]), (x, ends[1])], f"whisker {colour}"))
            parts += [line([(x - 3, end), (x + 3, end)], f"whisker {colour}") for end in ends]
    parts += [label(across.at(p.x) + 7, down.at(p.y) + 14, p.name, "tick") for p in one.points if p.name]
    kind = "hollow" if one.second else "mark"
    if any(point.tip for point in one.points):
        parts += [mark(one.backend, [(across.at(p.x), down.at(p.y))], kind=kind, tip=p.tip) for p in one.points]
    elif one.points:
        parts.append(mark(one.backend, [(across.at(p.x), down.at(p.y)) for p in one.points], 3, kind="dots"))
    return "".join(parts)


def _strip(strip: Strip, across: Axis, y: float) -> str:
    low, high, colour = across.at(strip.low), across.at(strip.high), series_class(strip.backend)
    parts = [line([(low, y), (max(high, low + 1), y)], f"strip {colour}")]
    if strip.at is not None:
        parts.append(mark(strip.backend, [(across.at(strip.at), y)], 5, tip=strip.tip))
    else:
        # It is not reached: an arrow to the right.
        parts.append(line([(high - 5, y - 4), (high, y), (high - 5, y + 4)], f"whisker {colour}"))
    return "".join(parts)


def plot_axis_room(labels: Sequence[str]) -> tuple[float, float]:
    """Return where the axis across begins and ends beside these labels of the value axis."""
    return left_of(labels), WIDTH - _RIGHT
