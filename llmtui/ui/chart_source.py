"""What a chart shows now, taken from the state of the screen."""

from __future__ import annotations

from collections.abc import Mapping

from llmtui.runview.figures import SamplesView
from llmtui.runview.loads import worded
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import box, thinned
from llmtui.ui.charts.chart_data import STATISTIC_KINDS, ChartData, Kind, Series
from llmtui.ui.charts.load_chart_data import LoadChart
from llmtui.ui.text.format import name_text
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.attempts import median_before, shown_attempt

#: The most steps of an ECDF: finer than a row.
ECDF_STEPS = 201


def chart_of(view: ViewState, kind: Kind) -> ChartData | LoadChart:
    """Return what a chart of any kind shows now: the backends that are not hidden."""
    if kind == "scatter" or kind in STATISTIC_KINDS:
        return chart_data(view, kind)
    # Imported with the first load, so that the first frame of a race does not wait for it.
    from llmtui.ui.load_chart_source import load_chart

    return load_chart(view, kind)


def chart_data(view: ViewState, kind: Kind) -> ChartData:
    """Return what a chart of samples shows now: of iterations, or of the turns of the level that is shown."""
    hidden = [(n, name_text(name)) for n, name in enumerate(view.run_view.backends) if name in view.hidden]
    samples = view.samples
    # Medians of earlier runs and attempts are those of the level that counts.
    earlier, beside = _beside(view.run_view, view.metric) if kind == "bars" and not view.level_number else ({}, "")
    return ChartData(
        kind,
        view.metric,
        tuple(_series(view, index, samples[one.backend.name], kind, earlier) for index, one in view.drawn),
        max((backend_view.state.planned for backend_view in view.run_view.backends.values()), default=0),
        log=view.logarithmic,
        hidden=tuple(hidden),
        ascii_only=view.ascii_only,
        window=view.zoom.window if kind == "scatter" else None,
        reason=_why_empty(view),
        against=beside,
        level=view.level.title if view.level is not None else "",
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
    samples = view.samples
    summaries = [shown_attempt(samples[backend_view.backend.name]).summary for _, backend_view in view.drawn]
    if any(summary.spread(view.metric) is not None for summary in summaries):
        return ""
    if any(summary.n for summary in summaries):
        return f"no backend has reported {METRICS[view.metric].title}: m shows the next metric"
    text = "no iteration has succeeded: enter shows why" if any(summary.errors for summary in summaries) else ""
    return worded(text, view.run_view.plan)


def _series(view: ViewState, index: int, backend_view: SamplesView, kind: Kind, earlier: Mapping[str, float]) -> Series:
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
