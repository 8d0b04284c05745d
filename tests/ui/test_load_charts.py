"""The charts of a load in the monitor: their order, their keys, and when they are drawn again."""

from __future__ import annotations

import functools

import msgspec
import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import Load, Slo
from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.charts.kinds import OF_LEVELS, cycle_of
from llmtui.ui.charts.load_chart_data import HeatChart, LevelsChart, TurnChart
from llmtui.ui.text.spans import width_of
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.chart import ChartView
from tests.ui import canned_load
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.load_sets import SETS, ticks, view_with
from tests.ui.pilot import make, screen_text, settle


def test_a_race_and_a_load_of_one_level_keep_their_charts() -> None:
    for charts, race in ((1, ("scatter", "bars", "box", "ecdf")), (2, ("bars", "box", "ecdf"))):
        assert cycle_of(canned.plan(), charts) == race
        one = canned_load.plan(Load(concurrency=8, requests=40))
        assert cycle_of(one, charts) == (*race, "turn")
        assert cycle_of(canned_load.plan(), charts) == tuple(k for k in OF_LEVELS if charts == 1 or k != "ttft")


@pytest.mark.parametrize(("size", "count"), [((80, 24), 9), ((120, 40), 8)])
async def test_the_key_of_the_next_chart_shows_every_kind_of_a_load(size: tuple[int, int], count: int) -> None:
    link = FakeLink(canned_load.hello(8), canned_load.tick())
    app = make(link, canned_load.plan())
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        chart = app.query_one("#bars" if count == 8 else "#scatter", ChartView)
        kinds = []
        for _ in range(count):
            kinds.append(chart.kind)
            assert chart.chart is not None and chart.chart.title[:20] in screen_text(app)
            await pilot.press("c")
            await settle(pilot)
        assert [*kinds, chart.kind] == [*(kind for kind in OF_LEVELS if count == 9 or kind != "ttft"), "load"]
        # A range of rounds is one of the scatter, which has to be shown for it.
        await pilot.press("left_square_bracket")
        await settle(pilot)
        assert chart.kind == "scatter" and "by round, rounds 1 to 4" in screen_text(app)
        await pilot.press("equals_sign", "y")
        await settle(pilot)
        assert app.view.forced_log is not None


async def test_ticks_within_a_second_draw_no_chart_again() -> None:
    link = FakeLink(canned_load.hello(6))
    app = make(link, canned_load.plan())
    app.view.now = lambda: 0.0
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        charts = list(app.main.query(ChartView))
        course = ticks("llama.cpp", 2, 9.0)
        link.put(*course[:-1])
        await settle(pilot, link)
        before = [chart.draws for chart in charts]
        assert "○ llama.cpp so far" in screen_text(app)
        link.put(*(msgspec.structs.replace(course[-2], tokens=9000 + n, elapsed_s=8.8 + n / 100) for n in range(10)))
        await settle(pilot, link)
        assert [chart.draws for chart in charts] == before
        link.put(msgspec.structs.replace(course[-1], tokens=9500))
        await settle(pilot, link)
        assert [chart.draws for chart in charts] == [before[0] + 1, before[1]], "the TTFT waits for the turn's end"


def test_the_scale_of_a_chart_over_levels_is_its_own() -> None:
    view = view_with(SETS["one 50x slower"])
    chart = chart_of(view, "load")
    assert isinstance(chart, LevelsChart) and chart.log and chart.log_by_default
    view.forced_log = False
    assert "log scale" not in chart_of(view, "load").title
    grown = chart_of(view_with(SETS["slow first tokens"]), "ttft")
    assert isinstance(grown, LevelsChart) and grown.log, "from 50 ms to some seconds"


def test_brackets_are_around_the_level_that_is_shown() -> None:
    view = view_with(SETS["three"])
    for number, label in ((1, "[1]"), (4, "[8]"), (5, "[16]")):
        view.level_shown = number
        text = text_of(draw(chart_of(view, "load"), 60, 14))
        assert label in text and text.count("[") == 1
        assert label in text_of(draw(chart_of(view, "heat"), 60, 14))
    view.level_shown = 2
    assert "2 streams" in chart_of(view, "bars").title


def test_a_hidden_backend_is_in_no_chart() -> None:
    view = view_with(SETS["three"])
    for tick in ticks():
        view.run_view.apply(tick)
    view.hidden = {"a-server"}
    for kind in ("load", "ttft", "pareto"):
        text = text_of(draw(chart_of(view, kind), 70, 14))
        assert "●" not in text and "╌ a-server" in text and "○" not in text
    heat = chart_of(view, "heat")
    assert isinstance(heat, HeatChart) and [row.name for row in heat.rows] == ["b-server", "c-server"]


def test_arrivals_count_as_the_tokens_that_they_carry() -> None:
    view = view_with(SETS["three"])
    for backend in view.run_view.backends.values():
        backend.turns[:] = [msgspec.structs.replace(turn, tokens_per_arrival=4.0) for turn in backend.turns]
    for tick in ticks():
        view.run_view.apply(tick)
    load, turn = chart_of(view, "load"), chart_of(view, "turn")
    assert isinstance(load, LevelsChart) and load.so_far is not None and load.so_far.value == pytest.approx(800.0)
    assert isinstance(turn, TurnChart) and turn.tokens == 4.0
    assert "4 tokens an arrival" in text_of(draw(turn, 100, 14))


def test_charts_say_why_they_are_empty() -> None:
    view = ViewState(canned_load.plan(), UiConfig())
    view.run_view.apply(canned_load.hello(0))
    view.structure_changed()
    assert "turns appear here" in text_of(draw(chart_of(view, "load"), 60, 12))
    assert "second by second" in text_of(draw(chart_of(view, "turn"), 60, 12))
    view.run_view.apply(canned_load.turn_done("llama.cpp", 1, 1, phase="warmup"))
    assert "warm-up turns come first" in text_of(draw(chart_of(view, "pareto"), 60, 12))
    view.hidden = set(view.names)
    for kind in ("load", "heat"):
        assert "x shows one" in text_of(draw(chart_of(view, kind), 60, 12))


@pytest.mark.parametrize("metric", ["goodput", "requests_per_s", "tpot", "latency"])
def test_any_metric_is_drawn_against_the_load(metric: str) -> None:
    view = ViewState(msgspec.structs.replace(canned_load.plan(), slo=Slo(ttft_s=0.5, tpot_s=0.03)), UiConfig())
    hello = canned_load.hello(6)
    view.run_view.apply(msgspec.structs.replace(hello, plan=view.plan))
    for level in (1, 2, 3):
        view.run_view.apply(canned_load.turn_done("llama.cpp", 7, level, goodput_per_s=2.0 * level, kept=30, missed=10))
    view.metric = metric  # type: ignore[assignment]
    chart = chart_of(view, "load")
    assert isinstance(chart, LevelsChart) and "against streams" in chart.title
    text = text_of(draw(chart, 80, 16))
    assert "●" in text
    assert ("objective" in text) == (metric == "tpot")


@functools.cache
def view_in_a_turn(name: str) -> ViewState:
    """The monitor's view of a set's run in a long turn. Do not change it."""
    view = view_with(SETS[name])
    for tick in ticks(level=1, seconds=90.0, each_s=0.5):
        view.run_view.apply(tick)
    return view


@pytest.mark.parametrize("kind", ["load", "ttft", "pareto", "turn", "heat"])
@pytest.mark.parametrize("name", SETS)
def test_a_chart_of_a_load_has_exactly_its_size(name: str, kind: Kind) -> None:
    chart = chart_of(view_in_a_turn(name), kind)
    for width, height in ((16, 6), (16, 30), (24, 7), (40, 8), (59, 13), (79, 14), (119, 6), (199, 50)):
        lines = draw(chart, width, height)
        assert [width_of(line) for line in lines] == [width] * height, text_of(lines)
