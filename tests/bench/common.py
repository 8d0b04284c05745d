"""What the benchmarks share: the load of the machine beside every result, intervals by resampling, and trends."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import random
import statistics
from collections.abc import Sequence

from llmtui.engine.watch.machine import describe_machine
from llmtui.stats.summary import percentile


def heading(what: str) -> str:
    """What is measured, on which machine, and how busy that was before (load average of the last minute)."""
    machine = describe_machine()
    return f"{what}\n{machine.cpu}, {machine.cores} cores, {machine.os}; load {os.getloadavg()[0]:.2f} before\n"


def interval(values: Sequence[float], rounds: int = 10_000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median of `values`; the same values give the same interval."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(rounds))
    return percentile(medians, 0.025), percentile(medians, 0.975)


@dataclasses.dataclass(frozen=True)
class Trend:
    """A straight line through (x, y) by least squares: its slope, the slope's standard error, and the scatter around
    it. `autocorrelation` is that of neighbouring residuals; the standard error is widened for it."""

    slope: float
    error: float
    scatter: float
    autocorrelation: float
    n: int


def trend(x: Sequence[float], y: Sequence[float]) -> Trend:
    """Fit at least three points in the order in which they were taken.

    Neighbours that are alike tell less than they count: n is cut to n (1 - r) / (1 + r), r the autocorrelation at lag
    one where it is positive.
    """
    n = len(x)
    slope, intercept = statistics.linear_regression(x, y)
    residuals = [b - (intercept + slope * a) for a, b in zip(x, y, strict=True)]
    squares = sum(r * r for r in residuals)
    lagged = sum(a * b for a, b in itertools.pairwise(residuals)) / squares if squares else 0.0
    effective = max(3.0, n * (1 - max(0.0, lagged)) / (1 + max(0.0, lagged)))
    scatter = math.sqrt(squares / max(1, n - 2))
    spread = math.sqrt(sum((a - statistics.fmean(x)) ** 2 for a in x))
    widened = math.sqrt((n - 2) / (effective - 2)) if effective < n else 1.0
    return Trend(slope, scatter / spread * widened, scatter, lagged, n)
