"""The list of iterations in the details: filter, order, jumps."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.model import Earlier, Failure, Iteration
from llmtui.runview.backend import BackendView
from llmtui.runview.samples import CHUNK
from llmtui.stats.summary import Summary
from llmtui.ui.app import MonitorApp
from llmtui.ui.listing import Listing
from llmtui.ui.text.spans import width_of
from llmtui.ui.views import iteration_rows
from llmtui.ui.views.iteration_filter import SYNTAX, iteration_filter
from llmtui.ui.views.iteration_table import column_at, columns_for, following, heading, iteration_line, scales_of
from llmtui.ui.views.sorting import AS_PLANNED, Sort
from llmtui.ui.widgets.iterations import Iterations, rows_of
from tests.boards import MEDIANS, board
from tests.figures import assert_readable, figures_of
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

FAILURE = Failure(kind="http", message="HTTP 500: no slot", hint="fewer at once")
BROKEN: dict[str, Any] = {
    "latency_s": None, "ttft_s": None, "itl_s": None, "tokens_per_s": None, "output_tokens": None, "error": FAILURE,
}  # fmt: skip


def one(number: int, **changes: Any) -> Iteration:
    return canned.iteration("llama.cpp", number, **changes)


def many(count: int) -> list[Iteration]:
    """Every 37th fails, every 101st is an outlier, every 50th was disturbed."""
    chance = random.Random(7)
    out = []
    for n in range(1, count + 1):
        latency = 3.0 + n / 1e5 if n % 101 == 7 else 0.9 + chance.random() / 20
        changes = BROKEN if n % 37 == 5 else {"latency_s": latency, "foreign_cpu": 0.5 if n % 50 == 0 else 0.03}
        out.append(one(n, **changes))
    return out


def backend(iterations: list[Iteration]) -> BackendView:
    backend_view = BackendView(canned.plan().backends[0], canned.state("llama.cpp"))
    for iteration in iterations:
        backend_view.add(iteration)
    return backend_view


def listed(backend_view: BackendView, typed: str = "", sort: Sort = AS_PLANNED) -> list[int]:
    """The numbers of the iterations from top to bottom; each row is where it is looked up."""
    rows = rows_of(backend_view.iterations, Listing(typed, sort))
    ats = [rows.at(row) for row in range(len(rows))]
    assert [rows.row_of(at) for at in ats] == list(range(len(rows)))
    return [backend_view.iterations[at].iteration for at in ats]


# --- The filter ---


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("failed", [3]),
        ("ok", [1, 2, 4, 5]),
        ("BUSY", [4]),
        ("refused", [5]),
        ("warm-up", [1]),
        ("measured", [2, 3, 4, 5]),
        ("2-4", [2, 3, 4]),
        ("4-", [4, 5]),
        ("-2", [1, 2]),
        ("3", [3]),
        (">1.5", [5]),
        ("<1.5 2-", [2, 4]),
        ("try:2", [5]),
        ("no slot", [3]),
        ("LENGTH", [2]),
        ("fewer failed 1-3", [3]),
        ("failed ok", []),
        ("nothing-like-it", []),
        ("-", [3]),
    ],
)
def test_all_words_of_a_filter_hold(typed: str, left: list[int]) -> None:
    iterations = [
        one(1, phase="warmup"),
        one(2, finish_reason="length", latency_s=1.0),
        one(3, **BROKEN | {"error": Failure(kind="http", message="HTTP 500: no slot - wait", hint="fewer at once")}),
        one(4, foreign_cpu=0.9, latency_s=1.0),
        one(5, attempt=2, refused=1, latency_s=2.0),
    ]
    test = iteration_filter(typed)
    assert [i.iteration for i in iterations if test is None or test(i)] == left


def test_the_syntax_that_is_shown_is_the_syntax() -> None:
    for word in ("failed", "ok", "busy", "refused", "warm-up", "measured", "100-200", ">1.5", "try:2"):
        assert word in SYNTAX


# --- Rows ---


def test_sorted_rows_have_the_slowest_on_top_and_failures_last() -> None:
    backend_view = backend([one(n, latency_s=s) for n, s in enumerate([1.0, 3.0, 2.0], 1)] + [one(4, **BROKEN)])
    assert listed(backend_view, sort=Sort("latency")) == [2, 3, 1, 4]
    assert listed(backend_view, sort=Sort("latency", reverse=True)) == [1, 3, 2, 4]
    assert listed(backend_view, sort=Sort("iteration")) == [4, 3, 2, 1]
    assert listed(backend_view, "ok", Sort("latency")) == [2, 3, 1]
    assert listed(backend_view, sort=Sort("error")) == [4, 1, 2, 3]


@pytest.mark.parametrize(
    ("typed", "sort"),
    [
        # In the fast tests each filter and each order.
        pytest.param(typed, sort, marks=() if at == of else pytest.mark.slow)
        for at, typed in enumerate(("", "ok", "failed", "busy 100-"))
        for of, sort in enumerate((AS_PLANNED, Sort("latency"), Sort("phase", reverse=True), Sort("rate")))
    ],
)
def test_iterations_that_come_later_are_where_all_at_once_puts_them(typed: str, sort: Sort) -> None:
    iterations = many(3 * CHUNK + 5)
    grown = backend([])
    rows = rows_of(grown.iterations, Listing(typed, sort))
    for n, iteration in enumerate(iterations):
        grown.add(iteration)
        if n % 3:
            rows.update()
    rows.update()
    fresh = rows_of(grown.iterations, Listing(typed, sort))
    assert [rows.at(row) for row in range(len(rows))] == [fresh.at(row) for row in range(len(fresh))]
    listed(grown, typed, sort)


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_figures_can_be_read_from_any_place(count: int) -> None:
    samples = backend([one(n) for n in range(count)]).iterations
    for start in {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, count - 1, count}:
        if 0 <= start <= count:
            assert [i.iteration for i in samples.figures(start)] == list(range(start, count))
    assert all(not i.text for i in samples.figures())


def test_jumps_find_the_slowest_the_failed_and_the_outliers() -> None:
    backend_view = backend(many(500))
    rows = rows_of(backend_view.iterations, Listing())
    slowest = iteration_rows.slowest(backend_view, rows)
    # Number 411 is an outlier, 512 is not there.
    assert slowest is not None and backend_view.iterations[slowest].iteration == 411
    failed = iteration_rows.failed(backend_view)
    assert [backend_view.iterations[at].iteration for at in failed] == list(range(5, 500, 37))
    assert backend_view.failed == len(failed)
    outliers = iteration_rows.outliers(backend_view)
    assert len(outliers) == backend_view.outliers == backend_view.summary.outliers == 5
    assert rows.after(0, failed) == failed[0]
    assert rows.after(failed[0], failed) == failed[1]
    assert rows.after(failed[-1], failed) == failed[0]
    assert rows.after(0, []) is None
    hidden = rows_of(backend_view.iterations, Listing("busy"))
    assert hidden.after(0, failed) is None


# --- Headings ---


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_arrow_touches_no_other_heading(width: int) -> None:
    sort = AS_PLANNED
    seen: list[str] = []
    while not seen or sort.column:
        sort = following(sort, width)
        seen.append(sort.column)
        text = "".join(part for part, _ in heading(width, sort))
        line = "".join(part for part, _ in iteration_line(one(3), width, True, sort))
        assert len(text) == len(line) == width
        if sort.column:
            assert " ↑" in text or " ↓" in text
            title = text.split("↑" if "↑" in text else "↓")[1].split("  ")[0]
            assert column_at(text.index(title) + 1, width, sort) == sort.column
    assert seen[0] == "latency" and seen[-1] == ""
    assert len(set(seen)) == len(seen) == len(columns_for(width)[0]) + 2


def test_headings_are_in_plain_words() -> None:
    text = "".join(part for part, _ in heading(200))
    for word in ("try", "other s", "busy cores", "429s", "token source"):
        assert f" {word} " in text
    assert width_of(heading(20)) == 20


# --- The screen ---


def table_of(app: MonitorApp) -> Iterations:
    return app.screen.query_one(Iterations)


@pytest.mark.slow
async def test_keys_filter_sort_and_jump() -> None:
    link = FakeLink(canned.hello(), Earlier(iterations=many(1200)))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("enter")
        await settle(pilot)

        async def chosen(*keys: str) -> int:
            await pilot.press(*keys)
            await settle(pilot)
            iteration = table_of(app).chosen
            assert iteration is not None
            return iteration.iteration

        footer = screen_text(app).split("\n")[-1]
        for word in ("/ Filter", "S Slowest", "f Failed", "u Outlier", "esc Back"):
            assert word in footer
        assert await chosen("S") == 1118
        assert await chosen("f") == 1152
        assert await chosen("f") == 1189
        assert await chosen("f") == 5
        assert await chosen("u") == 7
        # Letters and digits are text while a filter is typed: none is a command.
        assert await chosen("slash", *"failed 400-q2", "backspace", "backspace") == 412
        assert "22 of 1200" in screen_text(app)
        assert await chosen("enter", "end") == 1189
        assert await chosen("home") == 412
        assert "esc Clear" in screen_text(app).split("\n")[-1]
        assert await chosen("escape") == 412
        assert "of 1200" not in screen_text(app)
        assert await chosen("o") == 1118
        assert "↓latency s" in screen_text(app)
        assert "row 1 of 1200" in screen_text(app)
        await pilot.press("O")
        await settle(pilot)
        assert "↑latency s" in screen_text(app)
        heads = next(row for row in screen_text(app).split("\n") if "TTFT s" in row)
        await pilot.click(Iterations, offset=(heads.index("TTFT"), 0))
        await settle(pilot)
        assert "↓TTFT s" in screen_text(app)
        await pilot.press("escape")
        await settle(pilot)
        assert app.view.listing == Listing()
        assert app.screen is app.main


async def test_an_empty_filter_closes_and_one_without_rows_says_so() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("slash")
        await settle(pilot)
        assert app.screen is app.main
        await pilot.press("enter", "slash")
        await settle(pilot)
        assert "text of the error" in screen_text(app) or "or text" in screen_text(app)
        await pilot.press(*"zzz")
        await settle(pilot)
        assert "no iteration matches the filter" in screen_text(app)
        assert "0 of 9" in screen_text(app)
        await pilot.press("backspace", "backspace", "backspace", "enter")
        await settle(pilot)
        assert "esc clears" not in screen_text(app) and table_of(app).has_focus


@given(MEDIANS, st.sampled_from([40, 80, 120, 200, 300]))
@settings(max_examples=40, deadline=None)
def test_every_figure_of_an_iteration_is_true_and_in_line(medians: list[float], width: int) -> None:
    # Iterations of one backend, as far apart as those of several.
    iterations = [iteration for view in board(medians).backends.values() for iteration in view.iterations]
    scales = scales_of(iterations, Summary())
    lines = ["".join(text for text, _ in iteration_line(i, width, False, scales=scales)) for i in iterations]
    figures = figures_of("".join(text for text, _ in heading(width, scales=scales)), lines)
    assert_readable(figures)
    for title, row, value, _, _ in figures:
        one = iterations[row]
        truth = {"latency": one.latency_s, "TTFT": one.ttft_s, "ITL": one.itl_s, "tok/s": one.tokens_per_s}.get(title)
        assert value == (pytest.approx(truth, rel=5.001e-3, abs=5.1e-8) if truth is not None else None)
