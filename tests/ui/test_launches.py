"""A server that is launched several times in a run, on the screen: which launch, how long each took."""

from __future__ import annotations

import datetime

import pytest

from llmtui.model import BackendChanged
from llmtui.runview.run import RunView
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.header import header_lines
from llmtui.ui.views.log import RunLog
from llmtui.ui.views.panel import panel
from tests import build
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def five_launches() -> RunView:
    """The canned run, whose first server is at the second of five launches."""
    view = canned.run_view()
    state = canned.state("llama.cpp", launch=2, loads_s=[0.9, 1.4], load_s=1.4)
    view.apply(BackendChanged(backend=state))
    return view


@pytest.mark.parametrize(("width", "height"), [(24, 13), (24, 6), (40, 16), (60, 20)])
def test_a_panel_says_which_launch_it_is(width: int, height: int) -> None:
    lines = panel(five_launches().backends["llama.cpp"], PanelOptions(index=0, launches=5), width, height)
    assert all(width_of(line) == width for line in lines)
    assert "launch 2 of 5" in text_of(lines)
    once = panel(canned.run_view().backends["llama.cpp"], PanelOptions(index=0), width, height)
    assert "launch" not in text_of(once)


def test_a_panel_has_the_median_of_the_start_ups_and_their_range_where_there_is_room() -> None:
    view = five_launches().backends["llama.cpp"]
    assert "load 1.1 s (0.9 to 1.4)" in text_of(panel(view, PanelOptions(index=0, launches=5), 40, 16))
    narrow = text_of(panel(view, PanelOptions(index=0, launches=5), 24, 13))
    assert "load 1.1 s" in narrow and "0.9 to" not in narrow


def test_a_line_says_which_launch_it_is_if_it_has_room() -> None:
    view = five_launches().backends["llama.cpp"]
    assert "launch 2 of 5" in text_of([backend_line(view, PanelOptions(index=0, launches=5), 160)])


def test_the_header_counts_the_launches_and_their_warm_ups() -> None:
    view = RunView(build.plan("a", iterations=10, warmup=3, launches=5))
    assert "10 iterations + 5x3 warm-ups  5 launches" in text_of(header_lines(view, "running", 0, None, 160, 1))
    assert "10+5x3" in text_of(header_lines(view, "running", 0, None, 80, 1))
    once = RunView(build.plan("a", iterations=10, warmup=3))
    assert "10 iterations + 3 warm-ups  shuffled" in text_of(header_lines(once, "running", 0, None, 160, 1))


def test_the_log_has_a_line_for_each_launch() -> None:
    plan = build.plan(canned.plan().backends[0], iterations=10, launches=5)
    view, log = RunView(plan), RunLog(lambda: datetime.datetime(2026, 11, 22, 12, 0))
    log.record(build.changed("llama.cpp", state="loading", planned=10, launch=2), view)
    assert [entry.text for entry in log.entries] == ["llama.cpp loading: launch 2 of 5"]
