"""Which attempt's figures the screen shows during a rerun, and how attempts are compared."""

from __future__ import annotations

import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import BackendChanged, Failure, IterationDone, State
from llmtui.runview.run import RunView
from llmtui.text.format import figure
from llmtui.ui.chart_source import chart_data
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.attempts import attempt_sentence, shown_attempt
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.panel import panel
from llmtui.ui.views.table import table_lines, table_rows
from llmtui.ui.views.table_columns import table_columns
from llmtui.ui.views.verdict import verdict_lines, verdict_page
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def rerunning(run_view: RunView) -> RunView:
    """A run in which the first backend is warming up for its second attempt."""
    run_view.apply(canned.hello(done=10, running=False))
    run_view.apply(BackendChanged(backend=canned.state("llama.cpp", attempt=2, state="warmup")))
    run_view.apply(IterationDone(iteration=canned.iteration("llama.cpp", 1, "warmup", attempt=2)))
    return run_view


def test_previous_figures_are_shown_until_the_first_measured_iteration() -> None:
    run_view = rerunning(RunView(canned.plan()))
    backend_view = run_view.backends["llama.cpp"]
    assert (
        shown_attempt(backend_view).attempt,
        shown_attempt(backend_view).earlier,
        shown_attempt(backend_view).summary.n,
    ) == (
        1,
        True,
        10,
    )
    row = text_of(table_lines(run_view, "latency", 120, frozenset(), "")[1:2])
    assert "llama.cpp #1" in row
    assert " 10 " in row
    assert "of attempt 1" in text_of([backend_line(backend_view, PanelOptions(index=0), 80)])
    run_view.apply(IterationDone(iteration=canned.iteration("llama.cpp", 1, attempt=2)))
    assert (
        shown_attempt(backend_view).attempt,
        shown_attempt(backend_view).earlier,
        shown_attempt(backend_view).summary.n,
    ) == (
        2,
        False,
        1,
    )


def test_panel_names_metric_phase_and_attempt() -> None:
    run_view = rerunning(RunView(canned.plan()))
    shown = text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0, metric="ttft"), 24, 14))
    for part in ("TTFT, warm-up 1", "attempt 1: 0.147", "─ attempt 2 "):
        assert part in shown
    loading = canned.state("llama.cpp", attempt=3, state="loading")
    run_view.apply(BackendChanged(backend=loading))
    shown = text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0), 24, 14))
    assert "loading" in shown
    assert "attempt 1: 0.93" in shown


@pytest.mark.parametrize("state", ["stopped", "failed"])
@pytest.mark.parametrize("failures", [0, 3])
def test_a_rerun_without_a_sample_takes_no_figure_away(state: State, failures: int) -> None:
    run_view = rerunning(RunView(canned.plan()))
    for number in range(failures):
        late = canned.iteration("llama.cpp", number + 1, attempt=2, error=Failure(kind="timeout", message="late"))
        run_view.apply(IterationDone(iteration=late))
    run_view.apply(BackendChanged(backend=canned.state("llama.cpp", attempt=2, state=state)))
    shown = shown_attempt(run_view.backends["llama.cpp"])
    assert (shown.attempt, shown.earlier, shown.summary.n) == (1, True, 10)
    for width in (80, 120, 200):
        row = text_of(table_lines(run_view, "latency", width, frozenset(), "")[1:2])
        assert "llama.cpp #1" in row and " 10 " in row, "marked also without colour"
        assert " #1" in text_of(table_lines(run_view, "latency", 50, frozenset(), "")[1:2])
    columns = table_columns("latency")
    errors = next(column for column in columns if column.key == "err")
    assert errors.cell(table_rows(run_view, "latency")["llama.cpp"], 3) == str(failures), "of the rerun, if it has any"
    verdict, earlier = run_view.verdict(), run_view.earlier_attempts()
    assert "; attempt 1, judged at 95%: llama.cpp" in text_of(verdict_lines(verdict, 200, 4, earlier=earlier))
    assert " attempt 1, judged at 95%: llama.cpp" in text_of(verdict_page(verdict, 120, earlier=earlier))


def test_the_earlier_median_is_beside_the_new_one() -> None:
    view = ViewState(canned.plan(), UiConfig())
    run_view = view.run_view
    run_view.apply(canned.hello(done=10, running=False))
    assert "before" not in text_of(table_lines(run_view, "latency", 200, frozenset(), "")[:1])
    assert chart_data(view, "bars").against == ""
    latency = run_view.backends["llama.cpp"].summary.latency
    before = figure(latency.median if latency else None, "s").split()[0]
    for event in canned.rerun_events("llama.cpp", count=10, speed=1.25):
        run_view.apply(event)
        if isinstance(event, IterationDone):
            for width in (80, 120, 200):
                heading, row = table_lines(run_view, "latency", width, frozenset(), "")[:2]
                assert " before" in text_of([heading]) and f" {before} " in text_of([row])
    chart = chart_data(view, "bars")
    assert chart.against == "attempt 1"
    assert [series.earlier for series in chart.series][1:3] == [None, None]
    assert figure(chart.series[0].earlier, "s").split()[0] == before


def test_charts_show_the_previous_attempt_by_name() -> None:
    view = ViewState(canned.plan(), UiConfig())
    rerunning(view.run_view)
    first = chart_data(view, "scatter").series[0]
    assert first.name == "llama.cpp #1"
    assert (first.count, len(first.points)) == (10, 10)


def test_rerun_is_compared_with_the_previous_attempt() -> None:
    run_view = canned.run_view(done=10)
    for event in canned.rerun_events("llama.cpp", count=10, speed=1.25):
        run_view.apply(event)
    backend_view = run_view.backends["llama.cpp"]
    sentence = attempt_sentence(backend_view, "latency")
    assert sentence.startswith("attempt 2: ")
    assert "% faster than attempt 1, median 0.7" in sentence
    assert "attempt 2: -" in text_of(panel(backend_view, PanelOptions(index=0), 24, 13))
