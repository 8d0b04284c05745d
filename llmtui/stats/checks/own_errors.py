"""Is a difference larger than llmtui's own error? Of a load it is that of those who sent its requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from llmtui.model import Turn
from llmtui.model.accuracy import Level as AccuracyLevel
from llmtui.stats.checks.base import Check, Race, listed
from llmtui.stats.checks.evidence import Thinned
from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text.format import milliseconds

#: Decided differences below this (a share, or s) may be llmtui's own error if that was never measured.
SMALL_SHARE = 0.02
SMALL_S = 0.002
#: Workers of a cluster report their error of a TTFT: a latency is stamped by the same clock.
_BY_TTFT: tuple[MetricKey, ...] = ("ttft", "latency")


def own_error(race: Race) -> Iterator[Check]:
    """own-error: a shown difference is at most twice llmtui's own error."""
    unknown = []
    for pair, median, metrics in _shown(race):
        metric, which = METRICS[pair.metric], "llmtui's own error on this machine is up to"
        error, percentile = _error(race, pair, metrics["ttft"].median), "p99"
        if _of_cluster(race):
            which, percentile = "the own error of the workers is up to", "p95 of a TTFT"
        if error is None:
            unknown.append((pair, median))
            continue
        difference = pair.ratio - 1 if metric.per else median * (pair.ratio - 1)
        if error >= difference / 2:
            shown, ours = (f"{v:.2%}" if metric.per else f"{milliseconds(v)} ms" for v in (difference, error))
            yield Check(
                code="own-error",
                level="warning",
                backends=[pair.faster, pair.slower],
                text=f"{listed([pair.faster, pair.slower])} differ by {shown} of {metric.title}; "
                f"{which} {ours} ({percentile})",
                todo="call it a tie, or run llmtui accuracy and measure again on an idle machine",
                sides=[[pair.faster], [pair.slower]],
            )
    yield from _error_unknown(race, unknown)


def ttft_error_p95_s(race: Race, turns: Sequence[Turn]) -> float | None:
    """Return the p95 of the error of a TTFT in these turns (s), None if it is unknown.

    That of a cluster is the largest of its workers, each by the record of its own machine.
    """
    if any(turn.by_worker for turn in turns):
        known = [worker.own_error_s for turn in turns for worker in turn.by_worker]
        return max((error for error in known if error is not None), default=None) if None not in known else None
    level = _level(race, turns)
    return level.ttft_s.p95 if level is not None else None


def _error(race: Race, pair: Comparison, ttft_s: float | None) -> float | None:
    """The own error in a difference of this pair, in s or as a share; None if it is unknown."""
    errors: list[float | None] = []
    for entry in race.sampled:
        if any(turn.by_worker for turn in entry.evidence.turns):
            by_ttft = pair.metric in _BY_TTFT
            errors.append(ttft_error_p95_s(race, entry.evidence.turns) if by_ttft else None)
        else:
            level = _level(race, entry.evidence.turns)
            errors.append(METRICS[pair.metric].own_error(level, ttft_s) if level is not None else None)
    known = [error for error in errors if error is not None]
    return max(known, default=None) if len(known) == len(errors) else None


def _level(race: Race, turns: Sequence[Turn]) -> AccuracyLevel | None:
    """The own errors at the share of one process of this machine, None if they were not measured."""
    if race.record is None or race.at is None:
        return race.record.at_one_stream() if race.record is not None else None
    workers = min((turn.workers for turn in turns), default=1)
    return race.record.level_for(streams=max(1, math.ceil(race.at.streams(turns) / max(1, workers))))


def _of_cluster(race: Race) -> bool:
    return any(turn.by_worker for entry in race.sampled for turn in entry.evidence.turns)


def _error_unknown(race: Race, pairs: Sequence[tuple[Comparison, float]]) -> Iterator[Check]:
    small = {}
    for pair, median in pairs:
        difference = median * (pair.ratio - 1)
        if pair.ratio - 1 < SMALL_SHARE:
            small[pair] = f"{pair.ratio - 1:.2%}"
        elif not METRICS[pair.metric].per and difference < SMALL_S:
            small[pair] = f"{milliseconds(difference)} ms"
    if small:
        least = min(small, key=lambda pair: pair.ratio)
        at = f" at {race.at.title}" if race.at is not None else ""
        which, todo = f"llmtui's own error on this machine{at} was never measured", "on the idle machine"
        if _of_cluster(race):
            which, todo = f"the own error of the workers{at} is not known", "on the idle machine of each worker"
        yield Check(
            code="own-error",
            level="note",
            backends=list(dict.fromkeys(name for pair in small for name in (pair.faster, pair.slower))),
            text=f"{which}, and {listed([least.faster, least.slower])} differ by only {small[least]} of "
            f"{METRICS[least.metric].title}",
            todo=f"run llmtui accuracy {todo}",
        )


def _shown(race: Race) -> Iterator[tuple[Comparison, float, Mapping[MetricKey, Thinned]]]:
    """The shown differences, each with the faster backend's median by that metric, and with all its metrics."""
    metrics = {e.name: e.evidence.metrics for e in race.sampled}
    for pair in race.comparisons:
        if pair.decided and pair.faster in metrics:
            median = metrics[pair.faster][pair.metric].median
            if median is not None:
                yield pair, median, metrics[pair.faster]
