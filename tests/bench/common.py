"""What the benchmarks share: the load of the machine beside every result, and intervals by resampling."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Sequence

from llmtui.engine.machine import describe_machine
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
