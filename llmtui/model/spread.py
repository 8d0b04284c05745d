"""How far launches, or runs, of the same thing differ."""

from __future__ import annotations

from llmtui.model.base import Own, Struct


class Between(Struct, frozen=True):
    """The spread between launches or runs beyond the noise within them: `tau`, a standard deviation of logarithms.

    It was estimated from `n` of them, so it has n - 1 degrees of freedom.
    """

    tau: float
    n: int


class PairSpread(Struct, frozen=True):
    """The spread between launches of the ratio of two backends by a metric (a key of llmtui.stats.metrics)."""

    one: Own
    two: Own
    metric: Own
    spread: Between
