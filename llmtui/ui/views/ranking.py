"""The line under the table: the backends from best to worst, and what to doubt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmtui.model import RESTING
from llmtui.runview.loads import worded
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.text.format import name_text, shape, with_unit
from llmtui.ui.text.spans import Line, Role, Span, fit, justify, series_role, width_of
from llmtui.ui.views.attempts import shown_attempt

if TYPE_CHECKING:
    from llmtui.stats.board import Board


def board(run_view: RunView, metric: MetricKey, level: int = 0) -> Board | None:
    """Return the ratios of the backends to the best by `metric`; None without samples.

    Of a load they are those at a `level`, by default the one that counts.

    The first frame has no samples, and does not wait for the statistics to be imported.
    """
    if not any(backend_view.summary.n for backend_view in run_view.at(level).values()):
        return None
    return run_view.verdict(metric, level).board


def ranking(run_view: RunView, metric: MetricKey, level: int = 0) -> Line:
    """Draw the backends from the best to the worst by `metric`, or by a metric per token if that is not comparable."""
    placed = board(run_view, metric, level)
    if placed is None:
        return ()
    if placed.metric is None:
        return ((f"not comparable by {METRICS[metric].title}", "warn"),)
    if not placed.best:
        return ()
    names = list(run_view.backends)

    def mark(name: str) -> Span:
        index = names.index(name)
        return (f"{shape(index)} ", series_role(index))

    spread = shown_attempt(run_view.at(level)[placed.best]).summary.spread(placed.metric)
    figure = with_unit(placed.metric, spread.median) if spread else ""
    spans: list[Span] = [(f"by {METRICS[placed.metric].title}: ", "warn")] if placed.instead else []
    spans += [mark(placed.best), (sanitize(placed.best, 40), "best"), (f" {figure}", "strong")]
    for standing in placed.standings:
        if standing.name == placed.best or (standing.ratio is None and standing.alike):
            continue
        text = f"{standing.figure}x" if standing.ratio is not None else standing.figure
        spans += [("   ", ""), mark(standing.name), (name_text(standing.name), ""), (f" {text}", "strong")]
    return tuple(spans)


def doubts(run_view: RunView, metric: MetricKey, level: int = 0) -> list[str]:
    """Return why the figures may not be comparable, each in a few words, the most serious first."""
    reasons: list[str] = []
    here = run_view.at(level)
    backend_views = [backend_view for backend_view in here.values() if backend_view.summary.n]
    errors = sum(backend_view.summary.errors for backend_view in here.values())
    if errors:
        reasons.append(plural(errors, "error"))
    checks = run_view.verdict(metric, level).checks
    levels = {check.code: check.level for check in checks}
    if "model" in levels:
        reasons.append("models differ")
    if "weights" in levels:
        weights = {sanitize(backend_view.weights, 20) for backend_view in backend_views if backend_view.weights}
        reasons.append(f"weights differ: {', '.join(sorted(weights))}")
    if busy := next((check for check in checks if check.code == "disturbed"), None):
        summaries = [here[name].summary for name in busy.backends]
        count = f"{sum(s.disturbed for s in summaries)} of {sum(s.n for s in summaries)}"
        reasons.append(f"{count} measured while other programs were busy")
    if loading := sum(view.summary.loaded for view in backend_views):
        reasons.append(f"loads left out: {loading} of {sum(view.summary.n for view in backend_views)}")
    if levels.get("output-tokens") == "void":
        reasons.append("output lengths differ")
    return reasons


def ranking_line(
    run_view: RunView, metric: MetricKey, width: int, banner: tuple[str, Role] | None, level: int = 0
) -> Line:
    """Draw the line under the table: the `banner` if there is one, else the ranking and what to doubt."""
    if banner is not None:
        return fit([(" ", ""), banner], width)
    left = ranking(run_view, metric, level)
    if not left:
        if all(backend_view.state.state in RESTING for backend_view in run_view.backends.values()):
            words = "no backend has answered: see the panels for what is missing and what to do"
            if any(backend_view.state.state == "stopped" for backend_view in run_view.backends.values()):
                words = "stopped before any result: r reruns this backend, R reruns all"
            return fit([(" ", ""), (words, "warn")], width)
        return fit([(f" no result yet: {_before_results(run_view)}", "dim")], width)
    return fitted_ranking(left, doubts(run_view, metric, level), width)


def _before_results(run_view: RunView) -> str:
    """What comes before the first measured iteration, or that it is under way."""
    backend_views = run_view.backends.values()
    if any(view.state.state == "running" or view.figures.measured for view in backend_views):
        text = "the first measured iterations are under way"
    elif run_view.plan.config.warmup:
        text = "measured iterations start after the warm-ups"
    else:
        text = "measured iterations start when the backends are ready"
    return worded(text, run_view.plan)


_APART: Span = ("   ", "")


def fitted_ranking(left: Line | list[Span], noted: list[str], width: int) -> Line:
    """Draw the ranking, and what to doubt on the right, in `width` cells.

    What to doubt gets shorter before backends are left out, and what is left out is counted.
    """
    forms = _shorter(noted)
    room = width - 2 - (width_of([(forms[-1], "")]) + 2 if noted else 0)
    if width_of(left) > room:
        left = _with_room(left, room)
    if not noted:
        return fit([(" ", ""), *left], width)
    most = width - 4 - width_of(left)
    text = next((form for form in forms if width_of([(form, "")]) <= most), forms[-1])
    return justify([(" ", ""), *left], [(text, "warn"), (" ", "")], width)


def _shorter(noted: list[str]) -> list[str]:
    """Return what to doubt, from the longest form to the shortest."""
    fewer = [re.sub(r"^(\d+ of \d+) .*", r"\1 busy", note.partition(":")[0]) for note in noted]
    fewest = [re.sub(r"^(\d+) of \d+", r"\1", note).replace(" differ", "") for note in fewer]
    return ["; ".join(noted), "; ".join(fewer), "; ".join(fewest), plural(len(noted), "doubt") if noted else ""]


def _with_room(left: Line | list[Span], room: int) -> list[Span]:
    """Return the backends that fit, closer together, and how many are left out."""
    parts: list[list[Span]] = [[]]
    for span in left:
        if span == _APART:
            parts.append([])
        else:
            parts[-1].append(span)
    for count in range(len(parts), 0, -1):
        missing = len(parts) - count
        shown = [part if n == 0 else [("  ", ""), *part] for n, part in enumerate(parts[:count])]
        line: list[Span] = [span for part in shown for span in part]
        if missing:
            line.append((f"  +{missing} more", "dim"))
        if width_of(line) <= room:
            return line
    return line
