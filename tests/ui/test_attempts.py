"""During a rerun the earlier attempt's figures stand, marked as such, until the new one has its first."""

from __future__ import annotations

from llmtui.engine.board import Board
from llmtui.model import BackendChanged, IterationDone
from llmtui.ui import board_view, panel_view
from llmtui.ui.attempts import standing
from llmtui.ui.options import UiOptions
from llmtui.ui.panel_view import Look
from llmtui.ui.view import View
from tests.ui import canned
from tests.ui.test_pure import text_of


def rerunning(board: Board) -> Board:
    """Attempt 2 of the first backend is in its warm-ups."""
    board.apply(canned.hello(done=10, running=False))
    board.apply(BackendChanged(backend=canned.state("llama.cpp", attempt=2, state="warmup")))
    board.apply(IterationDone(iteration=canned.iteration("llama.cpp", 1, "warmup", attempt=2)))
    return board


def test_the_earlier_figures_stand_until_the_first_measured_iteration() -> None:
    board = rerunning(Board(canned.plan()))
    lane = board.lanes["llama.cpp"]
    assert (standing(lane).attempt, standing(lane).earlier, standing(lane).summary.n) == (1, True, 10)
    row = text_of(board_view.table(board, "latency", 120, frozenset(), "")[1:2])
    assert "llama.cpp #1" in row
    assert " 10 " in row
    assert "1.00" in row
    assert "of #1" in text_of([panel_view.row(lane, Look(index=0), 80)])
    board.apply(IterationDone(iteration=canned.iteration("llama.cpp", 1, attempt=2)))
    assert (standing(lane).attempt, standing(lane).earlier, standing(lane).summary.n) == (2, False, 1)


def test_the_panel_names_metric_and_phase_and_the_attempt_of_its_figures() -> None:
    board = rerunning(Board(canned.plan()))
    shown = text_of(panel_view.panel(board.lanes["llama.cpp"], Look(index=0, metric="ttft"), 24, 14))
    for part in ("TTFT, warm-up 1", "attempt 1: 0.147", "─ attempt 2 ─"):
        assert part in shown
    loading = canned.state("llama.cpp", attempt=3, state="loading")
    board.apply(BackendChanged(backend=loading))
    shown = text_of(panel_view.panel(board.lanes["llama.cpp"], Look(index=0), 24, 14))
    assert "loading" in shown
    assert "attempt 1: 0.93" in shown


def test_the_charts_keep_the_earlier_points_under_their_attempt() -> None:
    view = View(canned.plan(), UiOptions())
    rerunning(view.board)
    first = view.chart_data("scatter").series[0]
    assert first.name == "llama.cpp #1"
    assert (first.count, len(first.points)) == (10, 10)
