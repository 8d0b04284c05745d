"""The summary table: sorted by key and by click, and still while the cursor is in it."""

from __future__ import annotations

import re

import pytest
from textual.pilot import Pilot

from llmtui.model import BackendChanged, IterationDone
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.text.spans import width_of
from llmtui.ui.views import sorting
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.sorting import RING, Sort
from llmtui.ui.views.table import column_at, fitting_columns, table_lines
from llmtui.ui.widgets.table import SummaryTable
from tests.stats.test_verdict import raced
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

#: As the plan has them.
PLANNED = ["llama.cpp", "mistral.rs", "HuggingFace", "Llamafile", "Ollama"]


def shown(app: MonitorApp) -> list[str]:
    """The backends of the table on the screen, from top to bottom."""
    rows = screen_text(app).split("\n")
    top = rows.index(heading(app))
    names = (re.search("|".join(map(re.escape, PLANNED)), row) for row in rows[top + 1 : top + 6])
    return [name[0] for name in names if name]


def heading(app: MonitorApp) -> str:
    return next(row for row in screen_text(app).split("\n") if "x fastest" in row or "x best" in row)


async def click_on(pilot: Pilot[None], app: MonitorApp, word: str, times: int = 1) -> None:
    await pilot.click("#table", offset=(heading(app).index(word), 0), times=times)
    await settle(pilot)


def test_the_order_by_every_column_has_all_backends_and_the_unknown_last() -> None:
    from llmtui.runview.run import RunView

    run_view = RunView(canned.plan())
    run_view.apply(canned.hello(done=6))
    for metric in ("latency", "tokens_per_s"):
        for column in ("", *(c.key for c in fitting_columns(metric, 250))):
            for reverse in (False, True):
                order = sorting.ordered(run_view, metric, Sort(column, reverse))
                assert sorted(order) == sorted(PLANNED)
                if column in ("median", "p95", "TTFT", "n", "ratio"):
                    assert order[3:] == ["Llamafile", "Ollama"]
    assert sorting.ordered(run_view, "latency", Sort("TTFT"))[0] == "HuggingFace"
    assert sorting.ordered(run_view, "latency", Sort("tok/s"))[0] == "llama.cpp"
    assert sorting.ordered(run_view, "latency", Sort("median", True))[0] == "HuggingFace"
    # What is best comes first also where more is better.
    assert sorting.ordered(run_view, "tokens_per_s", Sort("median"))[0] == "llama.cpp"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("column", ["median", "p95", "backend", "ratio", "language"])
def test_a_sorted_table_keeps_its_column_and_its_width(width: int, column: str) -> None:
    from llmtui.runview.run import RunView

    run_view = RunView(canned.plan())
    run_view.apply(canned.hello(done=6))
    lines = table_lines(run_view, "latency", width, frozenset(), "", sort=Sort(column))
    head = "".join(text for text, _ in lines[0])
    assert all(width_of(line) == width for line in lines)
    if column in [c.key for c in fitting_columns("latency", width)]:
        assert head.count("↑") == 1
        at = head.index("↑")
        assert column_at(at, "latency", width, column) == column
    assert column_at(0, "latency", width, column) is None


async def test_the_sort_key_goes_round_the_columns_and_marks_them() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert shown(app) == PLANNED
        await pilot.press("o")
        await settle(pilot)
        assert "↑median" in heading(app)
        await pilot.press("O")
        await settle(pilot)
        assert "↓median" in heading(app)
        assert shown(app)[:3] == ["HuggingFace", "mistral.rs", "llama.cpp"]
        while app.view.sort.column != "TTFT":
            await pilot.press("o")
        await settle(pilot)
        assert "↑TTFT" in heading(app)
        assert shown(app)[0] == "HuggingFace"
        for _ in RING[RING.index("TTFT") :]:
            await pilot.press("o")
        await settle(pilot)
        assert shown(app) == PLANNED
        assert not {"↑", "↓"} & set(screen_text(app))


async def test_the_metric_key_sorts_by_the_metric_that_is_shown() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("o", "m")
        await settle(pilot)
        assert shown(app)[0] == "HuggingFace"
        await pilot.press("m", "m")
        await settle(pilot)
        assert "↓median" in heading(app)
        assert shown(app)[0] == "llama.cpp"


async def test_a_click_on_a_heading_sorts_turns_round_and_lets_go() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await click_on(pilot, app, "TTFT")
        assert app.view.sort == Sort("TTFT")
        assert shown(app)[0] == "HuggingFace"
        await click_on(pilot, app, "TTFT")
        assert app.view.sort == Sort("TTFT", reverse=True)
        await click_on(pilot, app, "TTFT")
        assert app.view.sort == Sort()


async def test_a_row_is_chosen_by_a_click_and_opened_by_two() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("o", "O")
        await settle(pilot)
        await pilot.click("#table", offset=(5, 1))
        await settle(pilot)
        assert app.view.selected == "HuggingFace"
        assert "┏ 3 × HuggingFace" in screen_text(app)
        await pilot.click("#table", offset=(5, 2), times=2)
        await settle(pilot)
        assert isinstance(app.screen, DetailsScreen)
        assert app.view.selected == "mistral.rs"


async def test_the_order_holds_while_the_cursor_is_in_the_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("o", "5", "tab")
        await settle(pilot)
        assert app.query_one(SummaryTable).has_focus
        assert "> ▲ Ollama" in screen_text(app)
        before = shown(app)
        # From now on it would be the slowest of all.
        link.put(BackendChanged(backend=canned.state("llama.cpp", attempt=2)))
        link.put(
            *(IterationDone(iteration=canned.iteration("llama.cpp", n + 1, attempt=2, speed=0.1)) for n in range(3))
        )
        await settle(pilot, link)
        assert re.search(r"llama\.cpp #2 .* 9\.\d", screen_text(app))
        assert shown(app) == before == PLANNED
        await pilot.press("up")
        await settle(pilot)
        assert app.view.selected == "Llamafile"
        await pilot.press("tab")
        await settle(pilot)
        assert not app.query_one(SummaryTable).has_focus
        assert shown(app)[:3] == ["mistral.rs", "HuggingFace", "llama.cpp"]


async def test_a_key_sorts_anew_also_while_the_cursor_is_in_the_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("5", "tab", "o", "O")
        await settle(pilot)
        assert app.query_one(SummaryTable).has_focus
        assert shown(app)[0] == "HuggingFace"


async def test_the_arrows_of_an_ascii_table_are_ascii() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, marker="ascii")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("o")
        await settle(pilot)
        assert "^median" in heading(app)
        await pilot.press("O")
        await settle(pilot)
        assert "vmedian" in heading(app)
        assert screen_text(app).isascii()


async def test_sorting_a_table_that_is_not_there_says_so() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("o")
        await settle(pilot)
        assert [n.message for n in app._notifications] == ["the table is not on the screen"]
        await pilot.press("T", "o")
        await settle(pilot)
        assert "↑median" in heading(app)


def test_other_work_is_no_multiple_of_the_best() -> None:
    run_view = raced(1.0, 1.3, 2.0, tokens=(64, 64, 20))
    lines = [
        "".join(text for text, _ in line).split() for line in table_lines(run_view, "latency", 120, frozenset(), "")
    ]
    assert [line[-1] for line in lines[1:]] == ["1.00", "1.31", "(2.00)"]
    assert lines[1][0].startswith("*")
    line = "".join(text for text, _ in ranking_line(run_view, "latency", 80, None))
    assert line.startswith(" by tokens/s: ● a ")
    by_rate = table_lines(run_view, "tokens_per_s", 120, frozenset(), "")
    assert "(" not in "".join(text for line in by_rate for text, _ in line)
    nobody = table_lines(raced(1.0, 1.3, tokens=(64, 20)), "latency", 120, frozenset(), "")
    assert "*" not in "".join(text for line in nobody for text, _ in line)
