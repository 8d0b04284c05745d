"""The spread between launches or between runs, and intervals that contain it.

A server keeps what its launch gave it, such as the layout of its memory, and a machine is faster on one day than on
another. Both change every iteration of a run alike, so the iterations of one run cannot show it: it takes several
launches or runs. All values are logarithms of times or of ratios.

The spread is the variance between the means less the part that the noise within each explains (method of moments,
Searle, Casella and McCulloch 1992).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from llmtui.model import Between
from llmtui.stats.student import reach

#: Fewer launches or runs give no spread: with four, an interval would be half as wide again as with many.
LEAST = 5


class Mean(NamedTuple):
    """The mean of one run or launch, and its standard error."""

    value: float
    error: float


def mean_of(logs: Sequence[float]) -> Mean | None:
    """The mean of these logarithms with its standard error; None for fewer than two."""
    if len(logs) < 2:
        return None
    return Mean(statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs)))


def between(means: Sequence[Mean]) -> Between | None:
    """The spread between these launches or runs; None for fewer than `LEAST`."""
    if len(means) < LEAST:
        return None
    within = statistics.fmean(mean.error**2 for mean in means)
    variance = statistics.variance([mean.value for mean in means])
    return Between(tau=math.sqrt(max(0.0, variance - within)), n=len(means))


def widened(within: float, spread: Between, level: float) -> float:
    """Half the width of an interval of one launch, widened from `within` so that it holds for other launches, too."""
    return math.hypot(within, reach(spread.n - 1, level) * spread.tau)


def apart(one: Mean, two: Mean, spread: Between, level: float) -> tuple[float, float]:
    """The interval of the mean of `two` minus that of `one`, two single runs of a thing with this spread of runs."""
    error = math.sqrt(one.error**2 + two.error**2 + 2 * spread.tau**2)
    half, difference = reach(spread.n - 1, level) * error, two.value - one.value
    return difference - half, difference + half
