"""Odd names, values and sizes on the screen: no line is too wide, nothing fails, and no data are said in words."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
from rich.cells import cell_len

from llmtui.config.schema import UiConfig
from llmtui.model import AnyEvent, Failure, IterationDone
from llmtui.ui.charts.draw import draw
from llmtui.ui.layout import layout_for
from llmtui.ui.text.spans import clip_name, to_ascii, width_of
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.header import header_lines, too_small
from llmtui.ui.views.panel import panel
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.table import table_lines
from tests import build
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.chart_sets import KINDS, chart_at
from tests.ui.lines import text_of
from tests.ui.pilot import make, screen_text, settle

SIZES = ((1, 1), (10, 3), (20, 5), (40, 10), (60, 15), (80, 24), (120, 40), (250, 70))


@dataclasses.dataclass(frozen=True)
class Case:
    """Names of backends, and the latencies of each in s (None for a failed iteration)."""

    names: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


def _each(*names: str, values: tuple[float | None, ...] = (0.91, 0.93, 0.92)) -> Case:
    return Case(names, tuple(tuple(v and v * (1 + n / 20) for v in values) for n in range(len(names))))


CASES = {
    "equal but for the last character": _each(*(f"a-server-with-a-rather-long-name-{c}" for c in "abcdefghijkl")),
    "equal but for the 80th": _each(*("x" * 79 + c for c in "abcdefghijkl")),
    "CJK": _each("推理服务器一号", "推理服务器二号", "サーバー"),
    "emoji": _each("🚀 rocket", "🦙 llama 👩‍🚀", "⚡️ fast"),
    "right to left": _each("\u202eevil\u202c", "\u200f\u05e9\u05e8\u05ea", "a\u2067b\u2069c"),
    "combining": _each("e\u0301" * 30, "n\u0303" + "o\u0308" * 50, "\u0301\u0302\u0303"),
    "blank": _each(" ", "\t", "a"),
    "0.0005 to 500 s": Case(("tiny", "middle", "huge"), ((0.0005, 0.0006), (0.9, 0.91), (480.0, 500.0))),
    "one iteration": _each("a", "b", values=(0.93,)),
    "one backend": _each("alone"),
    "all failed": _each("a", "b", values=(None, None, None)),
    "nothing yet": Case(("a", "b"), ((), ())),
    "equal values": _each("a", values=(0.9, 0.9, 0.9)),
    "zero": _each("a", "b", values=(0.0, 0.0)),
}
#: Without any figure.
EMPTY = ("all failed", "nothing yet")


def view_of(case: Case, **changes: object) -> ViewState:
    """The monitor's view of a run."""
    view = ViewState(build.plan(*case.names, iterations=3), UiConfig())
    for name, row in zip(case.names, case.rows, strict=True):
        state = "failed" if row and not any(row) and row[0] is None else "running"
        failure = Failure(kind="http", message="503", hint="press r") if state == "failed" else None
        view.run_view.apply(build.changed(name, planned=3, state=state, failure=failure))
        for number, value in enumerate(row, 1):
            error = Failure(kind="http", message="503") if value is None else None
            iteration = build.iteration(name, number, value, error=error, **changes)
            view.run_view.apply(IterationDone(iteration=iteration))
    view.structure_changed()
    return view


@pytest.mark.parametrize("name", CASES)
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    view = view_of(CASES[name])
    for width, height in SIZES:
        layout = view.layout = layout_for(width, height, len(view.names))
        if layout.form == "none":
            lines = too_small(width, height)
            assert len(lines) <= height
        else:
            lines = header_lines(view.run_view, "running", 42.0, None, width, layout.header)
            lines.append(ranking_line(view.run_view, view.metric, width, None))
        assert all(width_of(line) <= width for line in lines)
        across = max(1, width // layout.panel_columns)
        for n, backend_view in enumerate(view.run_view.backends.values()):
            drawn = panel(backend_view, view.panel_options(n, n == 0), across, layout.panel_height)
            assert len(drawn) == layout.panel_height or layout.form == "none"
            assert all(width_of(line) <= across for line in drawn), text_of(drawn)
        if width >= 40:
            table = table_lines(view.run_view, view.metric, width, frozenset(), view.names[0])
            assert all(width_of(line) <= width for line in table), text_of(table)
        for kind in KINDS:
            chart, columns, rows = chart_at(view, kind, (width, height))
            if layout.charts:
                drawn = draw(chart, columns, rows)
                assert len(drawn) == rows
                assert all(width_of(line) <= columns for line in drawn), text_of(drawn)
                assert all(width_of(to_ascii(line)) <= columns for line in drawn)
                assert re.search(r"[^\W\d]", text_of(drawn)), "a chart without words"


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_without_data_says_so(name: str, kind: str) -> None:
    view = view_of(CASES[name])
    chart, columns, rows = chart_at(view, kind, (80, 24))  # type: ignore[arg-type]
    shown = text_of(draw(chart, columns, rows))
    assert "┤" not in shown
    assert ("no iteration has succeeded" in shown) == (name == "all failed"), shown


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_that_no_backend_has_is_said(kind: str) -> None:
    view = view_of(_each("a", "b"), ttft_s=None)
    view.metric = "ttft"
    chart, columns, rows = chart_at(view, kind, (80, 24))  # type: ignore[arg-type]
    shown = text_of(draw(chart, columns, rows))
    assert "no backend has reported TTFT" in shown


@pytest.mark.parametrize("name", ["equal but for the last character", "equal but for the 80th"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_names_that_differ_at_their_end_are_told_apart(name: str, size: tuple[int, int]) -> None:
    view = view_of(CASES[name])
    view.layout = layout_for(*size, len(view.names))
    width = size[0]
    lines = [
        text_of(panel(view_, view.panel_options(n, False), width // view.layout.panel_columns, 1))
        for n, view_ in enumerate(view.run_view.backends.values())
    ]
    table = text_of(table_lines(view.run_view, "latency", width, frozenset(), "")).split("\n")[1:]
    for shown in (lines, table):
        assert len({re.search(r"\S*…\S+|\S{30,}", line)[0] for line in shown}) == 12, shown  # type: ignore[index]


def test_a_name_is_cut_in_its_middle() -> None:
    assert clip_name("a-server-1", 10) == "a-server-1"
    assert clip_name("a-server-1", 7) == "a-s…r-1"
    for name, width in itertools.product(("推理服务器一号", "e\u0301" * 9, "🚀🚀🚀🚀x", "abc"), range(12)):
        cut = clip_name(name, width)
        assert cell_len(cut) <= width
        assert width < 3 or "…" in cut or cut == name


@pytest.mark.parametrize("marker", ["braille", "ascii"])
def test_marks_of_twenty_backends_differ(marker: str) -> None:
    case = _each(*(f"b{n}" for n in range(20)))
    view = view_of(case)
    looks = {
        (view.panel_options(n, False).mark, view.panel_options(n, False).role)
        for n in range(20)
    }  # fmt: skip
    assert len({mark for mark, _ in looks}) == 20
    assert len({role for _, role in looks}) == 9


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 5), (40, 10)])
async def test_a_small_terminal_is_never_broken(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        for key in ("c", "T", "enter", "escape", "v", "escape", "L", "escape", "question_mark", "escape", "tab"):
            await pilot.press(key)
            await settle(pilot)
            assert all(cell_len(row) <= size[0] for row in screen_text(app).split("\n"))
        if size == (10, 3):
            assert "too small" in screen_text(app)


@pytest.mark.slow
async def test_keys_reach_every_backend() -> None:
    plan = canned.plan(extra=7)
    events: list[AnyEvent] = [canned.hello(plan, done=3)]
    link = FakeLink(*events)
    app = make(link, plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        for key, number in (("0", 10), ("down", 11), ("right", 12), ("9", 9), ("tab", 10)):
            await pilot.press(key)
            await settle(pilot)
            assert app.view.selected == plan.backends[number - 1].name
