"""The summary table: sorted by key and by click, and still while the cursor is in it."""

from __future__ import annotations

import re

from textual.pilot import Pilot

from llmtui.model import BackendChanged, IterationDone
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.views.sorting import RING, Sort
from llmtui.ui.widgets.table import SummaryTable
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
