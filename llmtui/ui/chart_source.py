"""What a chart shows now, taken from the state of the screen."""

from __future__ import annotations

from collections.abc import Mapping

from llmtui.runview.backend import BackendView
from llmtui.runview.loads import head_title, worded
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import box, thinned
from llmtui.ui.charts.chart_data import ChartData, Kind, Series
from llmtui.ui.text.format import name_text
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.attempts import median_before, shown_attempt

#: The most steps of an ECDF: finer than a row.
ECDF_STEPS = 201


def chart_data(view: ViewState, kind: Kind) -> ChartData:
    """Return what a chart of this kind shows now: the backends that are not hidden."""
    hidden = [(n, name_text(name)) for n, name in enumerate(view.run_view.backends) if name in view.hidden]
    earlier, beside = _beside(view.run_view, view.metric) if kind == "bars" else ({}, "")
    return ChartData(
        kind,
        view.metric,
        tuple(_series(view, index, backend_view, kind, earlier) for index, backend_view in view.drawn),
        max((backend_view.state.planned for backend_view in view.run_view.backends.values()), default=0),
        log=view.logarithmic,
        hidden=tuple(hidden),
        ascii_only=view.ascii_only,
        window=view.zoom.window if kind == "scatter" else None,
        reason=_why_empty(view),
        against=beside,
        level=head_title(view.run_view.plan),
    )


def _beside(run_view: RunView, metric: MetricKey) -> tuple[Mapping[str, float], str]:
    """Medians that stand beside those on the screen, and their name: of an earlier run, or else attempt."""
    if run_view.against is not None and (medians := run_view.earlier_medians(metric)):
        return medians, run_view.against.title
    before = {name: median_before(backend_view, metric) for name, backend_view in run_view.backends.items()}
    known = {name: median for name, median in before.items() if median is not None}
    numbers = {run_view.backends[name].previous_attempt for name in known}
    return known, f"attempt {numbers.pop()}" if len(numbers) == 1 else "earlier attempts" if numbers else ""


def _why_empty(view: ViewState) -> str:
    """Why a chart has nothing to draw though iterations have finished; empty if it has, or none has finished."""
    summaries = [shown_attempt(backend_view).summary for _, backend_view in view.drawn]
    if any(summary.spread(view.metric) is not None for summary in summaries):
        return ""
    if any(summary.n for summary in summaries):
        return f"no backend has reported {METRICS[view.metric].title}: m shows the next metric"
    text = "no iteration has succeeded: enter shows why" if any(summary.errors for summary in summaries) else ""
    return worded(text, view.run_view.plan)


def _series(view: ViewState, index: int, backend_view: BackendView, kind: Kind, earlier: Mapping[str, float]) -> Series:
    """What a chart of this kind shows of one backend. `earlier` are medians of an earlier run."""
    shown = shown_attempt(backend_view)
    figures = shown.figures(backend_view)
    ordered = figures.ordered(view.metric)
    return Series(
        index,
        name_text(backend_view.backend.name) + (f" #{shown.attempt}" if shown.earlier else ""),
        shown.summary.spread(view.metric),
        points=figures.points(view.metric) if kind == "scatter" else (),
        stretches=figures.stretches(view.metric) if kind == "scatter" else (),
        count=figures.measured if kind == "scatter" else 0,
        ordered=thinned(ordered, ECDF_STEPS) if kind == "ecdf" else (),
        box=box(ordered) if kind == "box" and ordered else None,
        earlier=earlier.get(backend_view.backend.name),
    )
