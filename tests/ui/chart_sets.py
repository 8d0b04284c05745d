"""Data sets for the charts, from equal values to a backend 100 times slower, as the monitor receives them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence

from llmtui.config.schema import UiConfig
from llmtui.model import Failure, IterationDone
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.chart_data import ChartData, Kind
from llmtui.ui.layout import layout_for
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.chart import inner_size
from tests import build

#: The latencies of each backend in s, None for a failed iteration.
Latencies = Sequence[Sequence[float | None]]

KINDS: tuple[Kind, ...] = ("bars", "scatter", "box", "ecdf")
#: Sizes of terminals.
SIZES = ((80, 24), (100, 30), (120, 40), (200, 50), (60, 19))


def _around(middle: float, share: float, count: int, seed: str) -> list[float]:
    """`count` values within `share` of `middle`."""
    rng = random.Random(seed)
    return [middle * (1 + share * rng.uniform(-1, 1)) for _ in range(count)]


def _several(middles: Sequence[float], share: float = 0.03, count: int = 10) -> Callable[[], Latencies]:
    return lambda: [_around(middle, share, count, f"{n}/{middle}") for n, middle in enumerate(middles)]


def _with_failures() -> Latencies:
    rows: list[list[float | None]] = [list(_around(0.9 + n * 0.1, 0.05, 12, f"failing {n}")) for n in range(3)]
    for row, lost in zip(rows, ((2, 3), (0, 7, 11), (5,)), strict=True):
        for number in lost:
            row[number] = None
    return rows


def _low_outlier() -> Latencies:
    rows = [_around(1.0 + n * 0.05, 0.03, 40, f"low {n}") for n in range(2)]
    rows[0][17] = 0.2
    return rows


def _two_speeds() -> Latencies:
    fast, slow = _around(0.5, 0.02, 15, "fast"), _around(0.9, 0.02, 15, "slow")
    return [[v for pair in zip(fast, slow, strict=True) for v in pair], _around(0.7, 0.02, 30, "steady")]


SETS: dict[str, Callable[[], Latencies]] = {
    "two, 0.88 to 1.03 s": _several((0.91, 0.99)),
    "two, 1.0 and 1.85 s": _several((1.0, 1.85)),
    "three, 10% apart": _several((0.9, 0.99, 1.09)),
    "five, 3% apart": _several((0.9, 0.927, 0.955, 0.984, 1.013)),
    "nine, 0.6 to 1.8 s": _several([0.6 * 3 ** (n / 8) for n in range(9)]),
    "two at 0.9 s beside 6 s": _several((0.91, 0.99, 6.0), 0.04),
    "one 8x slower": _several((0.1, 0.11, 0.8)),
    "one 30x slower": _several((0.1, 0.11, 3.0)),
    "one 100x slower": _several((0.065, 0.077, 6.5), 0.06),
    "0.5 and 0.7 ms": _several((0.0005, 0.0007)),
    "300 and 500 s": _several((300.0, 500.0)),
    "0.5 ms to 500 s": _several((0.0005, 0.9, 500.0)),
    "one iteration": _several((0.9, 1.1, 1.3), count=1),
    "equal values": lambda: [[0.9] * 10, [0.9] * 10],
    "one point": lambda: [[0.93], [1.07]],
    "with failures": _with_failures,
    "2,000 iterations": _several((0.0088, 0.0098, 0.0108), 0.1, 2000),
    "a low outlier": _low_outlier,
    "two speeds": _two_speeds,
}


@functools.cache
def latencies(name: str) -> Latencies:
    """The values of a set; always the same."""
    return SETS[name]()


@functools.cache
def view_of(name: str) -> ViewState:
    """The monitor's view of a set's run, which is done."""
    return view_with(latencies(name))


def view_with(rows: Latencies, planned: int = 0) -> ViewState:
    """The monitor's view of a run with these latencies."""
    names = [f"{'abcdefghijklmnop'[n]}-server" for n in range(len(rows))]
    view = ViewState(build.plan(*names, iterations=planned or max(map(len, rows))), UiConfig())
    for name, row in zip(names, rows, strict=True):
        view.run_view.apply(build.changed(name, planned=planned or len(row)))
        for number, value in enumerate(row, 1):
            error = None if value is not None else Failure(kind="http", message="503")
            iteration = build.iteration(name, number, value, error=error)
            view.run_view.apply(IterationDone(iteration=iteration))
    return view


def chart_at(view: ViewState, kind: Kind, size: tuple[int, int]) -> tuple[ChartData, int, int]:
    """What a chart shows in a terminal of this size, and the columns and rows that it gets there."""
    width, height = size
    view.layout = layout_for(width, height, len(view.names))
    across = width // max(1, view.layout.charts)
    return chart_data(view, kind), *inner_size(across, view.layout.chart_height)
