"""The time left in the header, with the clock held: it never stands at zero."""

from __future__ import annotations

import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import RunChanged, RunState
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.header import header_lines
from tests.ui import canned_run as canned
from tests.ui.lines import text_of

#: The last of four iterations began 1 s ago; the others took 290 s.
LAST = RunState(phase="running", finished=3, total=4, elapsed_s=871.0, eta_s=289.0, current_s=289.0)
#: 20 iterations of 10 s come after the one under way.
MIDDLE = RunState(phase="running", finished=3, total=24, elapsed_s=31.0, eta_s=209.0, current_s=9.0)


def view_of(run: RunState) -> tuple[ViewState, list[float]]:
    """A monitor that has just received `run`, and its clock."""
    now = [100.0]
    view = ViewState(canned.plan(), UiConfig(), now=lambda: now[0])
    view.link = "up"
    view.run_view.apply(canned.hello())
    view.run_view.apply(RunChanged(run=run))
    view.run_changed()
    return view, now


def header_at(run: RunState, after_s: float, width: int = 120) -> str:
    """The first line of the header, this long after the engine's report."""
    view, now = view_of(run)
    now[0] += after_s
    return text_of(header_lines(view.run_view, view.phase, view.elapsed_s, view.time_left, width, 2)).split("\n")[0]


@pytest.mark.parametrize(
    ("run", "after_s", "words"),
    [
        (LAST, 0.0, "about 04:49 left"),
        (LAST, 100.0, "about 03:09 left"),
        (LAST, 290.0, "about 00:00 left"),
        (LAST, 291.5, "longer than expected"),
        (LAST, 3600.0, "longer than expected"),
        (MIDDLE, 5.0, "about 03:24 left"),
        (MIDDLE, 10.0, "about 03:20 left"),
        (MIDDLE, 300.0, "more than 03:20 left"),
    ],
)
def test_time_left(run: RunState, after_s: float, words: str) -> None:
    assert header_at(run, after_s).rstrip().endswith(f", {words}")


def test_a_narrow_header_has_shorter_words() -> None:
    assert header_at(LAST, 3600.0, 44).rstrip().endswith(", overdue")
    assert header_at(MIDDLE, 300.0, 44).rstrip().endswith(", >03:20 left")


def test_nothing_is_estimated_before_each_backend_has_finished_an_iteration() -> None:
    assert "left" not in header_at(RunState(phase="running", finished=0, total=4, elapsed_s=250.0), 40.0)


def test_an_estimate_stands_while_nothing_is_under_way() -> None:
    between = RunState(phase="running", finished=3, total=4, elapsed_s=10.0, eta_s=30.0)
    view, now = view_of(between)
    now[0] += 500.0
    assert view.time_left is not None
    assert view.time_left.seconds == 30.0
