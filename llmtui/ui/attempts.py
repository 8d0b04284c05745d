"""Which attempt's figures stand on the screen, and how an attempt compares with the one before. Pure."""

from __future__ import annotations

import dataclasses

from llmtui.engine.board import Board, Lane
from llmtui.model import RESTING
from llmtui.stats.running import Running
from llmtui.stats.summary import Metric, Summary, ratios_to_best
from llmtui.ui.words import percent, unit, value_text


@dataclasses.dataclass(frozen=True)
class Standing:
    """The figures to show of a backend: those of `attempt`, which is `earlier` than the one that goes on."""

    attempt: int
    earlier: bool
    summary: Summary

    def figures(self, lane: Lane) -> Running:
        """All that is known of that attempt."""
        return lane.attempt(self.attempt)


def standing(lane: Lane) -> Standing:
    """The current attempt's figures; during a rerun the earlier ones until its first measured iteration is in."""
    summary = lane.summary
    previous = lane.previous
    if previous is None or summary.n or summary.errors or lane.state.state in RESTING:
        return Standing(lane.state.attempt, False, summary)
    return Standing(_attempt_before(lane), True, previous)


def ratios(board: Board, metric: Metric) -> dict[str, float | None]:
    """Median of each backend as a multiple of the best one's, of the figures that stand."""
    spreads = [standing(lane).summary.spread(metric) for lane in board.lanes.values()]
    medians = [spread.median if spread else None for spread in spreads]
    return dict(zip(board.lanes, ratios_to_best(medians, metric), strict=True))


def _attempt_before(lane: Lane) -> int:
    return lane.attempt_before or 1


def _change(lane: Lane, metric: Metric) -> str:
    now = lane.summary.spread(metric)
    then = previous.spread(metric) if (previous := lane.previous) else None
    return percent(now.median, then.median) if now and then else ""


def attempt_note(lane: Lane, metric: Metric) -> str:
    """How the current attempt compares with the one before: "attempt 2: -3.1 %"; empty on the first."""
    attempt = lane.state.attempt
    if attempt < 2:
        return ""
    change = _change(lane, metric)
    return f"attempt {attempt}: {change}" if change else f"attempt {attempt}"


def attempt_sentence(lane: Lane, metric: Metric) -> str:
    """The same in full: "attempt 2: -3.1 % to attempt 1, median 0.921 s"; empty where there is nothing to compare."""
    now = lane.summary.spread(metric)
    change = _change(lane, metric)
    if lane.state.attempt < 2 or now is None or not change:
        return ""
    median = f"median {value_text(metric, now.median, 8)} {unit(metric)}"
    return f"attempt {lane.state.attempt}: {change} to attempt {_attempt_before(lane)}, {median}"
