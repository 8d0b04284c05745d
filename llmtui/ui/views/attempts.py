"""Which attempt's figures the screen shows, and how an attempt compares with the previous one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from llmtui.model import RESTING, Level
from llmtui.runview.figures import SamplesView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.running import Running
from llmtui.stats.summary import Summary
from llmtui.ui.text.format import percent, with_unit

if TYPE_CHECKING:
    from llmtui.runview.backend import BackendView
    from llmtui.stats.intervals import Tail


@dataclasses.dataclass(frozen=True)
class ShownAttempt:
    """The figures that the screen shows of a backend: those of `attempt`, `earlier` than the current one or not."""

    attempt: int
    earlier: bool
    summary: Summary

    def figures(self, backend_view: SamplesView) -> Running:
        """All figures of that attempt."""
        return backend_view.attempt(self.attempt)

    def uncertainty(self, backend_view: SamplesView, metric: MetricKey) -> float | None:
        """Half the width of the 95% interval of the median, in s or tokens/s; None for too few samples."""
        # Imported with the first samples, so that the first frame does not wait for it.
        from llmtui.stats.intervals import median_interval

        interval = median_interval(self.figures(backend_view).ordered(metric))
        return (interval[1] - interval[0]) / 2 if interval is not None else None

    def tail(self, backend_view: SamplesView, metric: MetricKey) -> Tail | None:
        """The 95th percentile with its limit (of a rate the 5th), None for too few samples."""
        if not self.summary.n:
            return None
        from llmtui.stats.intervals import tail

        return tail(self.figures(backend_view).ordered(metric), metric)


def at_level(backend_view: BackendView, level: Level | None) -> SamplesView:
    """Return the samples of a backend at the level that is shown; all of them in a race."""
    return backend_view.at(level.number) if level is not None else backend_view


def shown_attempt(backend_view: SamplesView) -> ShownAttempt:
    """Return the current attempt's figures; the previous ones until, and unless, an iteration of a rerun succeeds."""
    summary = backend_view.summary
    previous = backend_view.previous
    over = summary.errors or backend_view.state.state in RESTING
    if previous is None or summary.n or (over and not previous.n):
        return ShownAttempt(backend_view.state.attempt, False, summary)
    return ShownAttempt(_previous_attempt(backend_view), True, previous)


def median_before(backend_view: SamplesView, metric: MetricKey) -> float | None:
    """The median of the attempt before the one that is shown, in s or tokens/s; None if there is none."""
    if shown_attempt(backend_view).earlier or (previous := backend_view.previous) is None:
        return None
    spread = previous.spread(metric)
    return spread.median if spread else None


def _previous_attempt(backend_view: SamplesView) -> int:
    return backend_view.previous_attempt or 1


def _change(backend_view: SamplesView, metric: MetricKey) -> str:
    now = backend_view.summary.spread(metric)
    then = previous.spread(metric) if (previous := backend_view.previous) else None
    return percent(now.median, then.median) if now and then else ""


def _other_work(backend_view: SamplesView, metric: MetricKey) -> str:
    """Why `metric` of the current attempt and of the one before are of different work; "" if they are not."""
    before, now = _previous_attempt(backend_view), backend_view.state.attempt
    if not {before, now} <= set(backend_view.sampled_attempts):
        return ""
    from llmtui.stats.checks import different_work

    evidence = {f"attempt {attempt}": backend_view.evidence_of(attempt) for attempt in (before, now)}
    return different_work(backend_view.backend, backend_view.state, evidence, metric)


def attempt_note(backend_view: SamplesView, metric: MetricKey) -> str:
    """Compare the current attempt with the previous one in short: "attempt 2: -3.1%"; empty for the first.

    A change is one of speed only if both did the same work.
    """
    attempt = backend_view.state.attempt
    if attempt < 2:
        return ""
    change = _change(backend_view, metric)
    if change and _other_work(backend_view, metric):
        return f"attempt {attempt}: other work"
    return f"attempt {attempt}: {change}" if change else f"attempt {attempt}"


def attempt_sentence(backend_view: SamplesView, metric: MetricKey) -> str:
    """Compare them in full: "attempt 2: 3.1% faster than attempt 1, median 0.921 s"; empty without a previous one."""
    now = backend_view.summary.spread(metric)
    change = _change(backend_view, metric)
    if backend_view.state.attempt < 2 or now is None or not change:
        return ""
    slower = change.startswith("+") != METRICS[metric].higher_is_better
    compared = f"{change.lstrip('+-')} {'slower' if slower else 'faster'} than" if change != "0.0%" else "as fast as"
    before = f"attempt {_previous_attempt(backend_view)}"
    if why := _other_work(backend_view, metric):
        return (
            f"attempt {backend_view.state.attempt}: median {with_unit(metric, now.median)}, not comparable to {before} "
            f"({why})"
        )
    return f"attempt {backend_view.state.attempt}: {compared} {before}, median {with_unit(metric, now.median)}"
