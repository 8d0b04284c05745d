"""The sizes of the parts of the main screen: all fit the terminal, and a larger one never shows less."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Any

import pytest

from llmtui.config.schema import UiConfig
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.layout import CHART_MIN, PANEL_LARGE_DIGITS, PANEL_LEAST_HEIGHT, Layout, layout_for
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.header import header_lines
from llmtui.ui.views.panel import panel
from llmtui.ui.views.table import table_layout, table_lines, table_rows
from llmtui.ui.views.time_left import TimeLeft
from llmtui.ui.widgets.chart import inner_size
from tests.ui import canned_run as canned
from tests.ui.chart_sets import KINDS, view_of
from tests.ui.decoded import Decoded
from tests.ui.lines import text_of

WIDTHS, HEIGHTS = range(60, 251), range(15, 71)
COUNTS = (1, 2, 3, 5, 9, 12)


def rows_of(layout: Layout) -> int:
    """All rows that the parts take."""
    parts = layout.header + layout.backend_rows + layout.notices + layout.chart_height + layout.verdict_line
    return parts + layout.table_rows * layout.table + layout.ranking + layout.footer


@pytest.mark.parametrize(
    "size", [(20, 5), (40, 10), (60, 15), (80, 10), (80, 24), (100, 45), (119, 60), (120, 32), (120, 40), (200, 50)]
)
def test_parts_fit_the_terminal(size: tuple[int, int]) -> None:
    width, height = size
    for backends, notices in itertools.product([*range(1, 11), 12, 13, 20, 31, 60], (0, 1)):
        layout = layout_for(width, height, backends, notices)
        case = backends, notices
        if layout.form != "tiny" or not notices:
            assert rows_of(layout) <= height, case
        shown = (layout.lines or backends) // layout.panel_columns
        assert shown * layout.panel_height + layout.scrolls <= layout.backend_rows, case
        assert layout.charts == 0 or layout.chart_height >= CHART_MIN, case
        assert layout.whole_table_rows <= layout.chart_height + layout.table_rows, case
        if height >= 24 and width >= 80:
            assert layout.charts, case


def test_charts_have_more_rows_than_panels() -> None:
    layout = layout_for(120, 40, 5)
    assert (layout.form, layout.panel_columns, layout.charts, layout.table) == ("panels", 5, 2, True)
    assert layout.chart_height == 19 and layout.panel_height == 10 < PANEL_LARGE_DIGITS
    assert rows_of(layout) == 40


@pytest.mark.parametrize("backends", [9, 12])
def test_many_backends_leave_room_for_charts(backends: int) -> None:
    layout = layout_for(120, 40, backends)
    assert layout.panel_height == 1
    assert layout.chart_height >= 14


# --- A larger terminal never shows less ---


def amounts(width: int, height: int, backends: int) -> tuple[int, ...]:
    """How much the screen shows: charts, rows and columns of charts, rows of the table, whole panels, the verdict."""
    layout = layout_for(width, height, backends)
    across, rows = inner_size(width // max(1, layout.charts), layout.chart_height)
    return (
        layout.charts,
        rows,
        layout.charts * (across + 1),
        layout.table_rows * layout.table,
        backends if not layout.lines else layout.lines,
        layout.panel_height >= PANEL_LEAST_HEIGHT,
        layout.header,
        min(1, layout.verdict_line),
        table_columns(width),
    )


@functools.cache
def table_columns(width: int) -> int:
    """How many columns the table of five backends has."""
    return len(table_layout(list(table_rows(canned_view().run_view, "latency").values()), "latency", width).keys)


def shrinking(sizes: Iterable[tuple[int, int]], backends: int) -> list[str]:
    """Where one of a series of growing sizes shows less than the one before."""
    shown = [(size, amounts(*size, backends)) for size in sizes]
    return [
        f"{a} shows {before}, {b} only {after}"
        for (a, before), (b, after) in itertools.pairwise(shown)
        if any(more > less for more, less in zip(before, after, strict=True))
    ]


@pytest.mark.parametrize("backends", COUNTS)
def test_taller_terminal_never_shows_less(backends: int) -> None:
    assert [found for width in WIDTHS for found in shrinking(((width, h) for h in HEIGHTS), backends)] == []


@pytest.mark.parametrize("backends", COUNTS)
def test_wider_terminal_never_shows_less(backends: int) -> None:
    assert [found for height in HEIGHTS for found in shrinking(((w, height) for w in WIDTHS), backends)] == []


def growing(numbers: list[int]) -> bool:
    """Whether no number is less than the one before."""
    return all(a <= b for a, b in itertools.pairwise(numbers))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        # In the fast tests each kind and each set.
        pytest.param(name, kind, marks=() if (at + of) % 3 == 0 else pytest.mark.slow)
        for at, name in enumerate(("five, 3% apart", "nine, 0.6 to 1.8 s", "one 100x slower"))
        for of, kind in enumerate(KINDS)
    ],
)
def test_larger_chart_has_no_less_rows_and_columns_of_data(name: str, kind: Kind) -> None:
    chart = chart_data(view_of(name), kind)

    def data(width: int, height: int) -> tuple[int, int]:
        decoded = Decoded(draw(chart, width, height), chart.log, across=kind in ("box", "ecdf"))
        return decoded.base - decoded.top, width - decoded.edge

    rows = [data(80, height)[0] for height in range(CHART_MIN - 1, 40)]
    assert growing(rows) and data(80, 66)[0] >= rows[-1] + 25
    columns = [data(width, 20)[1] for width in range(43, 250, 7)]
    # A label of the axis may have one or two digits more.
    assert growing(columns) and columns[-1] >= columns[0] + 193


#: What is known of a backend, as the screen shows it.
FACTS = {
    "name": "llama.cpp",
    "weights": "Q8_0",
    "load": "load 0.9 s",
    "memory": "241 MB",
    "CPU": "1.0 cores",
    "state": "running",
    "iterations": "6/10",
    "unit": " s",
}  # fmt: skip


@functools.cache
def canned_view() -> ViewState:
    view = ViewState(canned.plan(), UiConfig())
    view.run_view = canned.run_view()
    view.structure_changed()
    return view


def facts(width: int, height: int) -> set[str]:
    """Which facts of the first of five backends the main screen shows."""
    view = canned_view()
    layout = view.layout = layout_for(width, height, 5)
    first = next(iter(view.run_view.backends.values()))
    lines = panel(first, view.panel_options(0, False), width // layout.panel_columns, layout.panel_height)
    table = table_lines(view.run_view, "latency", width, frozenset(), "")[1 : 2 * layout.table]
    words = text_of([*lines, *table])
    spread, summary = first.summary.spread("latency"), first.summary
    assert spread is not None and summary.ttft is not None and summary.tokens_per_s is not None
    figures = {
        "median": f"{spread.median:.3f}",
        "sd": f"{spread.stddev:.3f}",
        "TTFT": f"{summary.ttft.median:.3f}",
        "tok/s": f"{summary.tokens_per_s.median:.1f}",
    }
    header = text_of(header_lines(view.run_view, "running", 42.0, TimeLeft(31.0), width, layout.header))
    return {fact for fact, text in (FACTS | figures).items() if text in words} | set(header.split())


def some_slow(numbers: list[int], fast: tuple[int, ...]) -> list[Any]:
    """These numbers as parameters, of which all but some are slow."""
    return [pytest.param(number, marks=() if number in fast else pytest.mark.slow) for number in numbers]


@pytest.mark.parametrize("width", some_slow([60, 80, 99, 100, 119, 120, 150, 200, 250], (60, 80, 120)))
def test_taller_terminal_shows_all_facts_of_a_lower_one(width: int) -> None:
    shown = [(height, facts(width, height) & {*FACTS, "median", "sd", "TTFT", "tok/s"}) for height in HEIGHTS]
    assert [(a, b, lost) for (a, more), (b, less) in itertools.pairwise(shown) if (lost := more - less)] == []


@pytest.mark.parametrize("height", some_slow([15, 24, 30, 40, 50, 70], (24, 40)))
def test_wider_terminal_shows_all_facts_of_a_narrower_one(height: int) -> None:
    shown = [(width, facts(width, height) & {*FACTS, "median", "sd", "TTFT", "tok/s"}) for width in WIDTHS]
    assert [(a, b, lost) for (a, more), (b, less) in itertools.pairwise(shown) if (lost := more - less)] == []


def test_every_size_has_a_layout() -> None:
    for width, height, backends in itertools.product(range(1, 60, 7), range(1, 30), (1, 5, 12, 40)):
        layout = layout_for(width, height, backends)
        assert layout.form == "none" or rows_of(layout) <= height
        assert math.isfinite(layout.chart_height)
