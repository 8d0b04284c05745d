"""Which attempt's figures stand on the screen, and how an attempt compares with the one before. Pure."""

from __future__ import annotations

import dataclasses

from llmtui.model import RESTING
from llmtui.runview.run import BackendView, RunView
from llmtui.stats.metrics import MetricKey
from llmtui.stats.running import Running
from llmtui.stats.summary import Summary, ratios_to_best
from llmtui.ui.text.format import percent, unit, value_text


@dataclasses.dataclass(frozen=True)
class Standing:
    """The figures to show of a backend: those of `attempt`, which is `earlier` than the one that goes on."""

    attempt: int
    earlier: bool
    summary: Summary

    def figures(self, backend_view: BackendView) -> Running:
        """All that is known of that attempt."""
        return backend_view.attempt(self.attempt)


def standing(backend_view: BackendView) -> Standing:
    """The current attempt's figures; during a rerun the earlier ones until its first measured iteration is in."""
    summary = backend_view.summary
    previous = backend_view.previous
    if previous is None or summary.n or summary.errors or backend_view.state.state in RESTING:
        return Standing(backend_view.state.attempt, False, summary)
    return Standing(_attempt_before(backend_view), True, previous)


def ratios(run_view: RunView, metric: MetricKey) -> dict[str, float | None]:
    """Median of each backend as a multiple of the best one's, of the figures that stand."""
    spreads = [standing(backend_view).summary.spread(metric) for backend_view in run_view.backends.values()]
    medians = [spread.median if spread else None for spread in spreads]
    return dict(zip(run_view.backends, ratios_to_best(medians, metric), strict=True))


def _attempt_before(backend_view: BackendView) -> int:
    return backend_view.attempt_before or 1


def _change(backend_view: BackendView, metric: MetricKey) -> str:
    now = backend_view.summary.spread(metric)
    then = previous.spread(metric) if (previous := backend_view.previous) else None
    return percent(now.median, then.median) if now and then else ""


def attempt_note(backend_view: BackendView, metric: MetricKey) -> str:
    """How the current attempt compares with the one before: "attempt 2: -3.1 %"; empty on the first."""
    attempt = backend_view.state.attempt
    if attempt < 2:
        return ""
    change = _change(backend_view, metric)
    return f"attempt {attempt}: {change}" if change else f"attempt {attempt}"


def attempt_sentence(backend_view: BackendView, metric: MetricKey) -> str:
    """The same in full: "attempt 2: -3.1 % to attempt 1, median 0.921 s"; empty where there is nothing to compare."""
    now = backend_view.summary.spread(metric)
    change = _change(backend_view, metric)
    if backend_view.state.attempt < 2 or now is None or not change:
        return ""
    median = f"median {value_text(metric, now.median, 8)} {unit(metric)}"
    return f"attempt {backend_view.state.attempt}: {change} to attempt {_attempt_before(backend_view)}, {median}"
