"""More backends than lines: the selected one is always in sight, the others are counted."""

from __future__ import annotations

import pytest

from llmtui.ui.views.scroll import out_of_sight, window
from llmtui.ui.widgets.table import SummaryTable
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle


@pytest.mark.parametrize("at", range(12))
def test_window_contains_the_line_and_moves_no_further_than_needed(at: int) -> None:
    start, end = window(12, 5, at, first=3)
    assert start <= at < end
    assert end - start == 5
    if 3 <= at < 8:
        assert start == 3


def test_out_of_sight_counts_above_and_below() -> None:
    assert out_of_sight(12, 0, 12) == ""
    assert out_of_sight(12, 3, 8) == "+3 more above, +4 more below"


@pytest.mark.parametrize(
    "size", [(20, 5), (80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in ((80, 10), (120, 40)))]
)
async def test_selected_backend_stays_in_sight(size: tuple[int, int]) -> None:
    plan = canned.plan(extra=26)
    link = FakeLink(canned.hello(plan, done=3))
    app = make(link, plan)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        for key, number in (("up", 31), ("up", 30), ("tab", 31), ("tab", 1), ("shift+tab", 31), ("1", 1)):
            await pilot.press(key)
            await settle(pilot)
            if key.endswith("tab") and isinstance(app.focused, SummaryTable):
                # Between the last backend and the first is the table.
                await pilot.press(key)
                await settle(pilot)
            shown = screen_text(app)
            assert app.view.selected == plan.backends[number - 1].name
            assert any(row.lstrip("> ").startswith(f"{number} ") for row in shown.split("\n")), key
            assert "more" in shown
            assert "2 failed" in shown
            if size == (80, 24):
                assert "Quit" in shown.split("\n")[-1]


async def test_table_counts_the_backends_out_of_sight() -> None:
    plan = canned.plan(extra=26)
    link = FakeLink(canned.hello(plan, done=3))
    app = make(link, plan)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("T")
        await settle(pilot)
        shown = screen_text(app)
        assert "vs best" in shown
        assert shown.count("more below") == 2
        assert "Quit" in shown.split("\n")[-1]


async def test_small_screen_counts_failed_backends() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(20, 5)) as pilot:
        await settle(pilot, link)
        rows = screen_text(app).split("\n")
    assert rows[0].startswith(" 2 failed")
    assert "+2 more below" in rows[-1]
