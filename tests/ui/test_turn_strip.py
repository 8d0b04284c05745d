"""The strip of the turn under way below the charts of a load."""

from __future__ import annotations

import re

import msgspec
import pytest

from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.load_chart_data import TurnChart
from llmtui.ui.charts.turn_course import draw_low
from llmtui.ui.layout import CHART_ABOVE_STRIP
from llmtui.ui.widgets.chart import ChartView
from tests.ui import canned_load
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.load_sets import LoadSet, ticks, view_with
from tests.ui.pilot import make, screen_text, settle


@pytest.mark.parametrize("size", [(120, 40), pytest.param((200, 50), marks=pytest.mark.slow)])
async def test_a_turn_has_a_strip_below_the_charts_until_the_run_has_ended(size: tuple[int, int]) -> None:
    link = FakeLink(canned_load.hello(6))
    app = make(link, canned_load.plan())
    app.view.now = lambda: 0.0
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        chart = app.main.query_one("#bars", ChartView)
        whole, table_rows = chart.size.height, app.main.table.size.height
        assert not app.main.strip.display
        link.put(*ticks("llama.cpp", 2, 9.0))
        await settle(pilot, link)
        strip = app.main.strip
        assert strip.display and chart.size.height == whole - strip.size.height >= CHART_ABOVE_STRIP
        assert app.main.table.size.height == table_rows
        rows = screen_text(app).split("\n")
        top = next(n for n, row in enumerate(rows) if "this turn: llama.cpp, 4 streams, round 9" in row)
        shown = "\n".join(rows[top : top + strip.size.height])
        assert all(word in shown for word in ("tokens/s", "in flight", "2 refused, 1 failed"))
        assert ("finished" in shown) == (size == (200, 50)), "few rows say the most important"
        assert "against streams" in rows[top - chart.size.height]
        await pilot.press("c")
        await settle(pilot, link)
        assert chart.kind == "pareto" and strip.display
        link.put(canned_load.turn_done("llama.cpp", 9, 2))
        await settle(pilot, link)
        assert "last turn: llama.cpp" in screen_text(app), "the charts do not move between two turns"
        link.put(*canned_load.done_events())
        await settle(pilot, link)
        assert not strip.display and chart.size.height == whole


async def test_a_smaller_terminal_keeps_its_charts() -> None:
    link = FakeLink(canned_load.hello(6))
    app = make(link, canned_load.plan())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        link.put(*ticks("llama.cpp", 2, 9.0))
        await settle(pilot, link)
        assert not app.main.strip.display
        for size, shown in (((200, 50), True), ((100, 50), False), ((120, 40), True), ((120, 30), False)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            assert app.main.strip.display == shown


@pytest.mark.parametrize("size", [(119, 5), (199, 8)])
def test_a_strip_says_what_its_ticks_said(size: tuple[int, int]) -> None:
    view = view_with(LoadSet((80.0, 60.0), turns=2))
    for tick in ticks(seconds=30.0):
        tokens = tick.tokens if tick.elapsed_s < 20 else 3900 + int((tick.elapsed_s - 20) * 100)
        view.run_view.apply(msgspec.structs.replace(tick, tokens=tokens))
    chart = chart_of(view, "turn")
    assert isinstance(chart, TurnChart)
    rows = text_of(draw_low(chart, *size)).split("\n")
    assert len(rows) == size[1] and all(len(row) == size[0] for row in rows)
    edge = rows[-1].index("└")
    axis = rows[-1][edge + 1 :]
    seconds = {int(m[0]): m.start() for m in re.finditer(r"\d+", axis)}
    wide = seconds[10] // 10
    assert seconds[0] == 0 and all(place == second * wide for second, place in seconds.items())
    high = next(n for n, row in enumerate(rows) if row.startswith("in flight"))
    top = float(re.match(r"tokens/s +([\d.]+)┤", rows[0])[1])  # type: ignore[index]
    for second, column in enumerate(chart.columns):
        at = edge + 1 + second * wide
        drawn = sum(" ▁▂▃▄▅▆▇█".index(row[at]) for row in rows[:high]) / 8 / high * top
        assert abs(drawn - column.arrivals_per_s) <= top / high / 16 + 1e-6
    refused = next(row for row in rows if row.strip().startswith("refused"))
    assert refused[edge + 1 + 6 * wide] == "2"
