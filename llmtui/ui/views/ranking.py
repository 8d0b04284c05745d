"""The line under the table: the backends from best to worst, and what to doubt."""

from __future__ import annotations

from llmtui.model import RESTING
from llmtui.runview.run import RunView
from llmtui.stats.metrics import CHARTED, METRICS, MetricKey
from llmtui.stats.summary import ratios_to_best
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.text.format import number, shape, unit, value_text
from llmtui.ui.text.spans import Line, Role, Span, fit, justify, series_role, width_of
from llmtui.ui.views.attempts import shown_attempt


def ratios(run_view: RunView, metric: MetricKey) -> dict[str, float | None]:
    """Return the median of each backend's shown attempt as a multiple of the best one's."""
    spreads = [shown_attempt(backend_view).summary.spread(metric) for backend_view in run_view.backends.values()]
    medians = [spread.median if spread else None for spread in spreads]
    return dict(zip(run_view.backends, ratios_to_best(medians, metric), strict=True))


def not_comparable(run_view: RunView, metric: MetricKey) -> set[str]:
    """Return the backends that did not do the same work as the best by `metric`.

    If no backend did, the best one is among them.
    """
    to_best = ratios(run_view, metric)
    if sum(ratio is not None for ratio in to_best.values()) < 2:
        return set()
    return run_view.verdict(metric).unlike(to_best)


def ranking(run_view: RunView, metric: MetricKey) -> Line:
    """Draw the ranking by `metric`, or by a metric per token if that is not comparable."""
    if not not_comparable(run_view, metric):
        return _ahead(run_view, metric)
    instead = run_view.verdict(metric).leading.metric
    if instead is None or instead not in CHARTED:
        return ((f"not comparable by {METRICS[metric].title}", "warn"),)
    return ((f"by {METRICS[instead].title}: ", "warn"), *_ahead(run_view, instead))


def _ahead(run_view: RunView, metric: MetricKey) -> Line:
    ranked = sorted((ratio, name) for name, ratio in ratios(run_view, metric).items() if ratio is not None)
    if not ranked:
        return ()
    names = list(run_view.backends)

    def mark(name: str) -> Span:
        index = names.index(name)
        return (f"{shape(index)} ", series_role(index))

    best = ranked[0][1]
    spread = shown_attempt(run_view.backends[best]).summary.spread(metric)
    figure = f"{value_text(metric, spread.median, 8)} {unit(metric)}" if spread else ""
    spans: list[Span] = [mark(best), (sanitize(best, 40), "best"), (f" {figure}", "strong")]
    for ratio, name in ranked[1:]:
        spans += [("   ", ""), mark(name), (sanitize(name, 40), ""), (f" {number(ratio, 2)}x", "strong")]
    return tuple(spans)


def doubts(run_view: RunView, metric: MetricKey) -> list[str]:
    """Return why the figures may not be comparable, each in a few words, the most serious first."""
    reasons: list[str] = []
    backend_views = [backend_view for backend_view in run_view.backends.values() if backend_view.summary.n]
    errors = sum(backend_view.summary.errors for backend_view in run_view.backends.values())
    if errors:
        reasons.append(plural(errors, "error"))
    levels = {check.code: check.level for check in run_view.verdict(metric).checks}
    if "model" in levels:
        reasons.append("models differ")
    if "weights" in levels:
        weights = {sanitize(backend_view.weights, 20) for backend_view in backend_views if backend_view.weights}
        reasons.append(f"weights differ: {', '.join(sorted(weights))}")
    disturbed = sum(backend_view.summary.disturbed for backend_view in backend_views)
    if disturbed:
        reasons.append(f"{disturbed} of {sum(backend_view.summary.n for backend_view in backend_views)} disturbed")
    if levels.get("output-tokens") == "void":
        reasons.append("output lengths differ")
    return reasons


def ranking_line(run_view: RunView, metric: MetricKey, width: int, banner: tuple[str, Role] | None) -> Line:
    """Draw the line under the table: the `banner` if there is one, else the ranking and what to doubt."""
    if banner is not None:
        return fit([(" ", ""), banner], width)
    left = ranking(run_view, metric)
    if not left:
        if all(backend_view.state.state in RESTING for backend_view in run_view.backends.values()):
            words = "no backend has answered: see the panels for what is missing and what to do"
            if any(backend_view.state.state == "stopped" for backend_view in run_view.backends.values()):
                words = "stopped before any result: r reruns this backend, R reruns all"
            return fit([(" ", ""), (words, "warn")], width)
        return fit([(" no result yet: measured iterations start after the warm-ups", "dim")], width)
    noted = doubts(run_view, metric)

    def too_long() -> bool:
        return len("; ".join(noted)) + width_of(left) + 3 > width

    if too_long():
        noted = [note.partition(":")[0] for note in noted]
    while noted and too_long():
        noted.pop()
    right: Span = ("; ".join(noted), "warn")
    return justify([(" ", ""), *left], [right, (" ", "")], width)
