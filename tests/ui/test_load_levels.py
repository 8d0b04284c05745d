"""The levels of a load on the main screen: the keys that choose one, what follows, and the rows of the table."""

from __future__ import annotations

import operator

import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import Load
from llmtui.ui import levels
from llmtui.ui.chart_source import chart_data
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.load_table import _ROWS, load_order
from llmtui.ui.views.sorting import AS_PLANNED, Sort
from tests.ui import canned_load
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.loads_drawn import drawn, load_table, table, view_after
from tests.ui.pilot import make, screen_text, settle


async def test_the_keys_go_through_the_levels_and_all_parts_follow() -> None:
    link = FakeLink(canned_load.hello(6), canned_load.tick(level=2, in_flight=4))
    app = make(link, canned_load.plan())
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        assert app.view.level_number == 0 and "[8] llama.cpp" in screen_text(app)
        await pilot.press("less_than_sign")
        await settle(pilot)
        text = screen_text(app)
        assert "219 tok/s at 4" in text and "[4] llama.cpp" in text
        assert "at 4 streams" in text and "llama.cpp 219 tok/s" in text
        await pilot.press("greater_than_sign", "greater_than_sign")
        await settle(pilot)
        assert "82.0 tok/s at 1" in screen_text(app), "the first level comes after the last one"
        await pilot.press("less_than_sign")
        await settle(pilot)
        assert app.view.level_shown == 0, "the level that counts is followed"


async def test_a_race_has_no_level_keys() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        before = screen_text(app)
        assert "Level" not in before
        await pilot.press("greater_than_sign")
        await settle(pilot)
        assert "for a load with several levels" in [note.message for note in app._notifications]


def test_one_level_and_a_race_have_nothing_to_choose() -> None:
    assert view_after(load=Load(concurrency=[8])).situation().levels == 1
    assert canned.run_view().plan.head_level is None and not canned.run_view().levels_shown
    assert levels.stepped(ViewState(canned.plan(), UiConfig()), 1) == 0


def test_charts_follow_the_level() -> None:
    view = view_after()
    view.level_shown = 1
    data = chart_data(view, "scatter")
    assert data.title == "output tokens/s, 1 stream, by round"
    assert data.series[0].spread is not None and data.series[0].spread.median < 90


def test_the_shown_level_comes_first_where_not_all_rows_fit() -> None:
    view = view_after()
    view.level_shown = 2
    assert view.level is not None
    rooms = {room: load_order(view.run_view, view.metric, AS_PLANNED, view.level, room) for room in (5, 9)}
    assert [number for number, _ in rooms[9]] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [number for number, _ in rooms[5]] == [2, 2, 2, 1, 1, 1, 3, 3, 3]
    lines = table(view, 120, 6)
    assert len(lines) == 6 and "[4]" in lines[1] and "+5 more below" in lines[5]


def test_the_table_sorts_within_the_levels() -> None:
    view = view_after()
    assert view.level is not None
    names = [name for _, name in load_order(view.run_view, view.metric, Sort("TTFT"), view.level, 99)]
    assert names == ["HuggingFace", "llama.cpp", "mistral.rs"] * 3


@pytest.mark.parametrize("width", [60, 80, 120, 200, 300])
def test_a_percentile_in_the_table_has_its_n(width: int) -> None:
    heading, *rows = table(view_after(), width, 12)
    assert {len(line) for line in (heading, *rows)} == {width}
    assert "p95" not in heading or " n " in heading
    assert ("TTFT p50" not in heading) or " n " in heading


def test_no_better_one_is_marked_where_none_is_shown() -> None:
    """Six rounds are too few: only the level that counts marks the best one, as a race does."""
    marked = [row for row in table(view_after(6), 120, 20)[1:] if row[1] == "·"]
    assert len(marked) == 1 and "[8]" in marked[0]
    marked = [row[:9] for row in table(view_after(10), 120, 20)[1:] if row[1] != " "]
    assert marked == [" ·●    1 ", " ·●    4 ", " *●   [8]"], "only the level that counts gives a star"


def test_a_level_without_turns_says_so() -> None:
    view = view_after(0)
    view.run_view.apply(canned_load.turn_done("llama.cpp", 1, 3))
    view.level_shown = 1
    assert "no turn at 1 stream yet" in drawn(view, 40, 12)


def test_only_rows_with_a_new_turn_are_drawn_again() -> None:
    """And what is drawn is what a table without a past draws."""
    view, count = view_after(), 9
    load_table(view).lines(160, 12)
    for name, number, level in (("llama.cpp", 7, 3), ("mistral.rs", 7, 3), ("llama.cpp", 7, 1)):
        before = load_table(view).lines(160, 12)
        assert all(map(operator.is_, before[1:], load_table(view).lines(160, 12)[1:]))
        view.run_view.apply(canned_load.turn_done(name, number, level))
        after = load_table(view).lines(160, 12)
        kept = sum(map(operator.is_, before, after))
        assert before != after and kept >= count - len(view.names), "the ratios of a level may change with a turn"
        _ROWS.pop(view.run_view)
        assert load_table(view).lines(160, 12) == after
    view.hidden.add("llama.cpp")
    assert "llama.cpp hidden" in text_of(load_table(view).lines(160, 12))
