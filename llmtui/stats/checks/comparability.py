"""Which metric to compare by when the work differed."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Struct
from llmtui.stats.checks.base import Check
from llmtui.stats.metrics import METRICS, MetricKey

#: What to compare by when the latency is not comparable. Not by ITL: it is the gap between arrivals, not tokens.
_PER_TOKEN: tuple[MetricKey, ...] = tuple(m.key for m in METRICS.values() if m.per == "token" and not m.of_turn)
#: What to compare by in place of the TTFT, most of which is spent on the prompt.
_PER_PROMPT_TOKEN: tuple[MetricKey, ...] = (*(m.key for m in METRICS.values() if m.per == "prompt token"), *_PER_TOKEN)


class Leading(Struct, frozen=True):
    """The metric to compare by. `instead_of` is the requested metric if it is not comparable, for this `reason`."""

    metric: MetricKey | None
    instead_of: MetricKey | None = None
    reason: str = ""


def spoiled(checks: Sequence[Check], metric: MetricKey, one: str = "", two: str = "") -> Check | None:
    """The first check that makes `metric` not comparable: between two backends, or anywhere."""
    for check in checks:
        if metric in check.spoils and (not one or check.between(one, two)):
            return check
    return None


def instead_of(asked: MetricKey) -> tuple[MetricKey, ...]:
    """What to compare by if this metric is not comparable, the first that is comparable."""
    if METRICS[asked].of_turn:
        return ("latency", *_PER_TOKEN)
    return _PER_PROMPT_TOKEN if asked == "ttft" else _PER_TOKEN


def leading_metric(checks: Sequence[Check], asked: MetricKey = "latency", one: str = "", two: str = "") -> Leading:
    """The metric to compare these two backends by (all backends, without names): the requested one if comparable.

    Else a metric per token: tokens/s (for the TTFT: prefill tokens/s). None if no metric is comparable.
    """
    check = spoiled(checks, asked, one, two)
    if check is None:
        return Leading(metric=asked)
    fair = next((m for m in instead_of(asked) if spoiled(checks, m, one, two) is None), None)
    return Leading(metric=fair, instead_of=asked, reason=check.text)


def other_rates(checks: Sequence[Check], leading: Leading, one: str = "", two: str = "") -> list[MetricKey]:
    """Other rates of a request to compare these two by if the requested metric is not comparable; else none."""
    if leading.instead_of is None:
        return []
    rates = [m.key for m in METRICS.values() if m.rate and not m.of_turn]
    return [key for key in rates if key != leading.metric and spoiled(checks, key, one, two) is None]
