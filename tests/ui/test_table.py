"""The summary table on the screen: sorting by key and by click, choosing a backend, order under the cursor."""

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

#: The plan's order.
PLANNED = ["llama.cpp", "mistral.rs", "HuggingFace", "Llamafile", "Ollama"]


def shown(app: MonitorApp) -> list[str]:
    """The backends of the table on the screen, from top to bottom."""
    rows = screen_text(app).split("\n")
    top = rows.index(heading(app))
    names = (re.search("|".join(map(re.escape, PLANNED)), row) for row in rows[top + 1 : top + 6])
    return [name[0] for name in names if name]


def heading(app: MonitorApp) -> str:
    return next(row for row in screen_text(app).split("\n") if "vs best" in row)


async def click_on(pilot: Pilot[None], app: MonitorApp, word: str, times: int = 1) -> None:
    await pilot.click("#table", offset=(heading(app).index(word), 0), times=times)
    await settle(pilot)


async def test_sort_key_cycles_through_the_columns() -> None:
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
        for _ in [key for key in RING[RING.index("TTFT") :] if key != "J/token"]:  # without a meter it has no column
            await pilot.press("o")
        await settle(pilot)
        assert shown(app) == PLANNED
        assert not {"↑", "↓"} & set(screen_text(app))


async def test_table_sorts_by_the_shown_metric() -> None:
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


async def test_clicks_on_a_heading_sort_reverse_and_restore() -> None:
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


async def test_click_selects_a_row_and_double_click_opens_it() -> None:
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


async def test_order_is_stable_while_the_cursor_is_in_the_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("o", "5", "tab")
        await settle(pilot)
        assert app.query_one(SummaryTable).has_focus
        assert "> ▲ Ollama" in screen_text(app)
        before = shown(app)
        # Its new attempt is the slowest of all.
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


async def test_sort_key_works_while_the_cursor_is_in_the_table() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("5", "tab", "o", "O")
        await settle(pilot)
        assert app.query_one(SummaryTable).has_focus
        assert shown(app)[0] == "HuggingFace"


async def test_ascii_table_has_ascii_arrows() -> None:
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


async def test_sort_key_without_a_table_shows_why_it_does_not_apply() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("o")
        await settle(pilot)
        assert [n.message for n in app._notifications] == ["the table is not shown"]
        await pilot.press("T", "o")
        await settle(pilot)
        assert "↑median" in heading(app)
