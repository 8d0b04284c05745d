"""The monitor under a load: the level in sight everywhere, and no word of a race."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.model import BackendChanged, Failure, Load
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.draw import draw
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.header import header_lines
from llmtui.ui.views.panel import panel
from llmtui.ui.views.turn_facts import turn_facts
from tests import loads
from tests.ui import canned_load, snapshots
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.loads_drawn import drawn, table, view_after
from tests.ui.pilot import make, screen_text, settle


def test_a_panel_shows_the_turn_under_way_and_the_level_that_counts() -> None:
    view = view_after()
    view.run_view.apply(canned_load.tick())
    text = drawn(view, 40, 16)
    assert "under load" in text and "8 of 8 in flight" in text and "8 streams: 14/40 requests, 4 s" in text
    assert "303 tok/s at 8 streams" in text and "4.74 req/s" in text
    assert "TTFT p50 0.552 s" in text and "p95 0.685 s, n 240" in text
    assert "turns ██████○···" in text and "6/10" in text
    view.run_view.apply(canned_load.turn_done("llama.cpp", 7, 2))
    assert "last: round 7, 4 streams" in drawn(view, 40, 16)
    assert "waits its turn" in drawn(view, 40, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share": "settling", "finished": 3}, "settling, 3 answers, 4 s"),
        ({"share": "tail"}, "last answers of the turn, 4 s"),
        ({"requests": 0}, "14 requests, 4 s"),
        ({"failed": 2}, "14/40 requests, 4 s, 2 failed"),
    ],
)
def test_how_far_a_turn_is(changes: dict[str, Any], words: str) -> None:
    view = view_after()
    view.run_view.apply(canned_load.tick(**changes))
    assert words in drawn(view, 60, 16)


def test_requests_that_failed_and_slots_that_are_too_few_are_on_the_panel() -> None:
    view = view_after()
    view.run_view.apply(canned_load.turn_done("llama.cpp", 7, 3, finished=37, failed=3))
    assert "3 of 280 failed" in drawn(view, 40, 16)
    view.run_view.apply(BackendChanged(backend=canned.state("llama.cpp", slots=4)))
    assert "4 slots" in drawn(view, 40, 16)


@pytest.mark.parametrize("width", [16, 30, 39, 40, 60, 80, 120, 200])
def test_lines_and_panels_keep_to_their_size(width: int) -> None:
    view = view_after()
    view.run_view.apply(canned_load.tick())
    for index, name in enumerate(view.names):
        backend_view, options = view.run_view.backends[name], view.panel_options(index, focused=True)
        assert len(text_of([backend_line(backend_view, options, width)])) == width
        for height in (1, 2, 4, 5, 8, 18):
            lines = panel(backend_view, options, width, height)
            assert [len(text_of([line])) for line in lines] == [width] * height


def test_a_percentile_on_a_line_has_its_n() -> None:
    view = view_after()
    for width in (80, 120, 160):
        line = text_of([backend_line(view.run_view.backends["llama.cpp"], view.panel_options(0, False), width)])
        assert "303 tok/s" in line and "TTFT .552/.685 s n 240" in line


def test_header_charts_and_table_name_the_load() -> None:
    view = view_after()
    header = text_of(header_lines(view.run_view, "running", 1.0, None, 120, 1, level=view.level))
    assert "closed loop 1 4 [8]  round 6/10  40 requests a turn" in header
    assert chart_data(view, "scatter").title == "output tokens/s, 8 streams, by round"
    assert chart_data(view, "ecdf").title == "share of turns (ECDF), output tokens/s, 8 streams"
    assert "round" in text_of(draw(chart_data(view, "scatter"), 60, 14))
    heading, *rows = table(view, 120, 20)
    assert "output tok/s" in heading and "TTFT p50 s" in heading and "turns" in heading
    assert [row.split()[:2] for row in rows if "llama.cpp" in row] == [["●", "1"], ["●", "4"], ["·●", "[8]"]]


def test_an_open_loop_is_named_by_its_rates() -> None:
    view = view_after(load=Load(request_rate=[0.5, 2.0], requests=40))
    assert view.metric == "latency"
    assert "open loop 0.5 2/s" in text_of(header_lines(view.run_view, "running", 1.0, None, 80, 1))
    assert chart_data(view, "scatter").title == "latency in s, 2 requests/s, by round"


@pytest.mark.parametrize(
    ("load", "marks"),
    [
        (Load(request_rate=[0.25, 12.5], requests=40), [" 0.25/s ", "[12.5/s]"]),
        (Load(concurrency=[1, 2048], requests=4096), [" 1 ", "[2048]"]),
    ],
)
def test_the_levels_of_the_table_are_whole(load: Load, marks: list[str]) -> None:
    text = "\n".join(table(view_after(load=load), 80, 20))
    assert all(mark in text for mark in marks)


def test_the_key_of_metrics_goes_through_those_of_a_load() -> None:
    view, seen = view_after(), []
    for _ in range(6):
        seen.append(view.metric)
        view.next_metric()
    assert seen == ["output_tokens_per_s", "latency", "ttft", "itl", "tokens_per_s", "output_tokens_per_s"]


@pytest.mark.parametrize("shot", [shot for shot in snapshots.SHOTS if shot.load], ids=lambda shot: shot.name)
def test_no_screen_of_a_load_speaks_of_iterations(shot: snapshots.Shot) -> None:
    assert "iteration" not in snapshots.path_of(shot).read_text("utf-8").lower()


def test_the_facts_of_a_turn() -> None:
    turn = loads.turn(finished=35, failed=2, unfinished=3, state="partial", late_s=0.0001, unsettled=True)
    text = "; ".join(turn_facts(turn))
    assert "40 requests: 35 answered, 2 failed, 3 unfinished" in text
    assert "partial: stopped before its end" in text and "no steady state" in text
    assert "sent late by 0.100 ms" in text


async def test_the_log_has_turns_that_failed_or_were_stopped() -> None:
    link = FakeLink(canned_load.hello(6))
    app = make(link, canned_load.plan())
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, link)
        link.put(
            canned_load.turn_done("llama.cpp", 7, 1, finished=36, failed=4),
            canned_load.turn_done("llama.cpp", 7, 2, state="partial"),
            canned_load.turn_done("llama.cpp", 7, 3, error=Failure(kind="server", message="gone")),
            canned_load.turn_done("mistral.rs", 7, 3),
        )
        await settle(pilot, link)
        await pilot.press("L")
        await settle(pilot)
        text = screen_text(app)
        assert "llama.cpp: turn 7 at 1 stream: 4 of 40 requests did not succeed" in text
        assert "llama.cpp: turn 7 at 4 streams was stopped before its end" in text
        assert "llama.cpp: turn 7 at 8 streams failed: gone" in text
        assert "mistral.rs: turn" not in text
