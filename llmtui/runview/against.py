"""An earlier run beside the one on the screen: its medians, where they are of the same work.

Two runs do not take turns, so the change between them may be one of the machine. `llmtui compare` says what the runs
show; here stand only the medians of both.
"""

from __future__ import annotations

from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.run_differences import Side
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize
from llmtui.text.format import plural

#: What is comparable is checked again after this share of more iterations.
_GROWTH = 0.1


class Against:
    """An earlier run. `title` is its label or its id."""

    def __init__(self, stored: StoredRun) -> None:
        self.run = stored.plan.run
        self.title = sanitize(stored.label, 20) or stored.plan.run
        self._view = RunView(stored.plan, keep=0)
        self._view.apply(stored.hello())
        self._cached: dict[MetricKey, tuple[tuple[object, ...], int, dict[str, float]]] = {}

    def medians(self, run_view: RunView, metric: MetricKey) -> dict[str, float]:
        """Return the earlier medians (s or tokens/s) of the backends of `run_view` that are comparable by `metric`.

        These have the same name in both runs, and the work before and in the metric was the same.
        """
        views = run_view.backends.values()
        count = sum(view.finished for view in views)
        if not count:
            return {}
        attempts = tuple((view.backend.name, view.state.attempt, view.state.state == "done") for view in views)
        cached = self._cached.get(metric)
        if cached is None or cached[0] != attempts or not cached[1] <= count <= cached[1] * (1 + _GROWTH):
            cached = self._cached[metric] = (attempts, count, self._comparable(run_view, metric))
        return cached[2]

    def words(self, run_view: RunView, metric: MetricKey) -> str:
        """Say which medians stand beside those of `run_view`, and which command compares the two runs."""
        count = len(self.medians(run_view, metric))
        compare = f"llmtui compare {self.run} {run_view.plan.run}"
        if not count:
            by = METRICS[metric].title
            return f"run {self.title} has no backend that is comparable by {by}; for the reason, try: {compare}"
        medians = f"the medians of {plural(count, 'backend')} in run {self.title}"
        from llmtui.stats.sender_differences import sender_differences

        others = any(sender_differences(side_of(self._view), side_of(run_view)))
        medians += ", whose requests other workers sent" if others else ""
        return f"beside it: {medians}; the change between two runs may be the machine's: {compare} says what they show"

    def _comparable(self, run_view: RunView, metric: MetricKey) -> dict[str, float]:
        from llmtui.stats.compare_runs import comparable

        names = comparable(side_of(self._view), side_of(run_view), metric)
        spreads = {name: self._view.backends[name].summary.spread(metric) for name in names}
        return {name: spread.median for name, spread in spreads.items() if spread is not None}


def side_of(run_view: RunView) -> Side:
    """A run as one side of a comparison."""
    plan = run_view.plan
    return Side(
        plan.run,
        plan.created_utc,
        plan.config,
        run_view.machine,
        run_view.backends,
        plan.load,
        plan.slo,
        plan.prompts,
        plan.imported,
        plan.workers,
    )
